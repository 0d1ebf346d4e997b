"""Layers by answer tokens: the word that each layer would say, shaded by its probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.strip import Strip

from .cells import Part, clip, line, width_of
from .ink import Ink
from .shades import shaded
from .tokenstrip import CURSOR, level

LABEL_CELLS = 6
MIN_CELLS, MAX_CELLS = 10, 18
RANK_CELLS = 4
MAX_PER = 3


@dataclass(frozen=True, slots=True)
class Said:
    """One cell.

    Attributes:
        words: What the layer would say, the likeliest first: (safe text, probability, whether it is the answer's
            token); empty where the layer is missing.
        rank: Of the answer's token, 0 is the likeliest.
    """

    words: tuple[tuple[str, float, bool], ...]
    rank: int = 0


@dataclass(frozen=True, slots=True)
class LensTable:
    """How a table is laid out.

    Attributes:
        layers, tokens: L and T.
        cell: Cells per column.
        rows, across: Layers and tokens on screen.
        per: Lines per layer: its likeliest word, the next, ...
    """

    layers: int
    tokens: int
    cell: int
    rows: int
    across: int
    per: int = 1

    @property
    def used(self) -> int:
        """Cells of a line, the layer's number included."""
        return LABEL_CELLS + self.cell * self.across

    def first_layer(self, layer: int) -> int:
        """The first layer on screen, so that a layer is near the middle."""
        return max(0, min(layer - self.rows // 2, self.layers - self.rows))

    def first_token(self, token: int | None) -> int:
        """The first token on screen."""
        return max(0, min((token or 0) - self.across // 2, self.tokens - self.across))


def plan_table(layers: int, tokens: int, width: int, rows: int) -> LensTable:
    """Lays out a table of at most `rows` lines below its header."""
    room = max(1, width - LABEL_CELLS)
    cell = max(min(MIN_CELLS, room), min(MAX_CELLS, room // max(1, tokens)))
    across = max(1, min(tokens, room // cell))
    return LensTable(layers, tokens, cell, max(1, min(rows, layers)), across, max(1, min(MAX_PER, rows // layers)))


def lens_lines(
    ink: Ink,
    width: int,
    table: LensTable,
    answer: Sequence[str],
    said: Callable[[int, int], Said],
    layer: int,
    token: int | None,
    cliff: int | None,
) -> list[Strip]:
    """Draws the header and the layers on screen.

    Args:
        ink: Colours.
        width: Cells.
        table: The layout.
        answer: The answer's tokens, safe to show.
        said: What a layer says at an answer token.
        layer: Current layer.
        token: Current answer token, None for all.
        cliff: First layer that needs no image, or None.
    """
    top, left = table.first_layer(layer), table.first_token(token)
    tokens = range(left, min(left + table.across, table.tokens))
    parts: list[Part] = [(f"{'layer':<{LABEL_CELLS}}", ink.dim)]
    for t in tokens:
        name = clip(answer[t], table.cell - 2)
        parts += [
            (" ", ink.text),
            (name, ink.mark if t == token else ink.strong),
            (" " * (table.cell - 1 - width_of([(name, ink.text)])), ink.text),
        ]
    made = [line(ink, width, *parts)]
    for at in range(top, top + table.rows):
        tone = ink.mark if at == layer else ink.cliff if at == cliff else ink.dim
        parts = [(f"{at:>{LABEL_CELLS - 2}}", tone), ("◆ " if at == cliff else "  ", ink.cliff)]
        cells = [said(at, t) for t in tokens]
        for place in range(table.per):
            for t, cell in zip(tokens, cells, strict=True):
                parts += _cell(ink, table.cell, cell, place, at == layer and t == token)
            made.append(line(ink, width, *parts))
            parts = [(" " * LABEL_CELLS, ink.text)]
    return made


def place_of(rank: int) -> str:
    """A rank as people count, in at most `RANK_CELLS` cells."""
    return f"#{rank + 1}" if rank < 999 else f"#{min(99, (rank + 1) // 1000)}k"


def _cell(ink: Ink, width: int, said: Said, place: int, under: bool) -> list[Part]:
    """Level and word; beside the first word the place of the answer's token, where it is not the first."""
    if place >= len(said.words):
        return [(f"{'' if place else ' ·':<{width}}", ink.dim)]
    word, prob, answer = said.words[place]
    right = place_of(said.rank) if said.rank > 0 and not place else ""
    word = clip(word, max(1, width - 2 - (len(right) + 1 if right else 0)))
    text = word + " " * (width - 2 - width_of([(word, ink.text)]) - len(right)) + right
    group = ink.groups[3 if answer else 0]
    tone = ink.mark if under and not place else shaded(group, ink.background, prob)
    glyph = CURSOR if under and not place else level(prob, 1)
    return [(glyph, ink.accent if glyph == CURSOR else group), (text, tone), (" ", ink.text)]
