"""Bands over the layers, to an eighth of a cell: stacked on each other, or hanging from and standing on a zero line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .ink import Ink
from .spark import EIGHTHS_UP, MISSING

PLAIN = "█▒░"
"""Glyphs of the bands without colour, from the bottom."""
GAIN = "+"


def stacked(
    ink: Ink, tones: Sequence[Style], values: NDArray[np.floating], height: int, *, plain: bool = False
) -> list[Strip]:
    """Draws bands on top of each other.

    Args:
        ink: Colours.
        tones: One style per band, from the bottom; at most three of them without colour.
        values: [cells bands] in 0..1, each cell's sum at most 1; NaN where nothing is known.
        height: Lines that a sum of 1 fills.
        plain: Tell bands apart by glyphs, to a whole cell.

    Returns:
        `height` strips of `cells` cells. A sum above zero shows at least an eighth.
    """
    cells, bands = values.shape
    known = np.isfinite(values).all(axis=1)
    value = np.clip(np.where(known[:, None], values, 0), 0, None)
    edges = np.zeros((cells, bands + 1), dtype=int)
    edges[:, 1:] = np.rint(np.minimum(np.cumsum(value, axis=1), 1) * height * 8)
    unseen = (edges[:, -1] == 0) & (value.sum(axis=1) > 0)
    largest = value.argmax(axis=1)
    edges[unseen] = np.arange(bands + 1)[None] > largest[unseen, None]
    made = []
    for row in range(height - 1, -1, -1):
        low = 8 * row
        cover = np.clip(np.minimum(edges[:, 1:], low + 8) - np.maximum(edges[:, :-1], low), 0, 8)
        draw = _glyph_row if plain else _block_row
        texts = draw(cover, row == 0)
        if row == 0:
            texts = [text if there else (MISSING, -1, -1) for text, there in zip(texts, known, strict=True)]
        made.append(_strip(ink, tones, texts))
    return made


def hanging(
    ink: Ink,
    tone: Style,
    values: NDArray[np.floating],
    high: float,
    rows: tuple[int, int],
    *,
    plain: bool = False,
) -> list[Strip]:
    """Draws losses (below zero) hanging from a zero line, and gains standing on it.

    Args:
        ink: Colours.
        tone: Of the bars.
        values: [cells]; NaN where nothing is known.
        high: The size that fills the lines for losses; a line for gains has the same scale.
        rows: Lines for gains and for losses; without one for gains, a gain is a plus sign on the zero line.
        plain: Use glyphs that need no background colour: eighths become thirds.

    Returns:
        The lines, gains first.
    """
    up, down = rows
    known = np.isfinite(values)
    scaled = np.where(known, values, 0.0) * (8 * down / high if high > 0 else 0.0)
    gains = _visible_eighths(scaled)
    losses = _visible_eighths(-scaled)
    made = []
    for row in range(up - 1, -1, -1):
        parts = np.clip(gains - 8 * row, 0, 8)
        made.append(_runs([(EIGHTHS_UP[p], tone) for p in parts.tolist()]))
    inverse = Style.from_color(ink.text.bgcolor, tone.color)
    for row in range(down):
        cells: list[tuple[str, Style]] = []
        for part, gain, there in zip(np.clip(losses - 8 * row, 0, 8).tolist(), gains.tolist(), known, strict=True):
            if row == 0 and not there:
                cells.append((MISSING, ink.dim))
            elif part == 8:
                cells.append(("█", tone))
            elif part == 0:
                zero = GAIN if gain and not up else "▔" if not plain else " "
                cells.append((zero, ink.accent if zero == GAIN else ink.dim) if row == 0 else (" ", ink.text))
            elif plain or part in (1, 4):
                cells.append(("▔▀█"[min(2, part * 3 // 8)], tone))
            else:
                cells.append((EIGHTHS_UP[8 - part], inverse))
        made.append(_runs(cells))
    return made


def _visible_eighths(values: NDArray[np.floating]) -> NDArray[np.int_]:
    """Values in eighths as whole numbers; above a hundredth of an eighth at least one."""
    return np.where(values > 0.01, np.maximum(1, np.rint(values)), 0).astype(int)


def _block_row(cover: NDArray[np.int_], _: bool) -> list[tuple[str, int, int]]:
    """Per cell a block, the band in its lower part and the one behind it (-1: none)."""
    texts = []
    for parts in cover.tolist():
        # From the bottom; nothing at all comes last. A cell has two colours: the thinnest of more gives way.
        pieces = [(band, part) for band, part in enumerate((*parts, 8 - sum(parts))) if part]
        while len(pieces) > 2:
            at = min(range(len(pieces)), key=lambda i: pieces[i][1])
            taker = at - 1 if at else 1
            pieces[taker] = (pieces[taker][0], pieces[taker][1] + pieces[at][1])
            del pieces[at]
        names = [band if band < len(parts) else -1 for band, _ in pieces]
        if names[0] < 0:
            texts.append((" ", -1, -1))
        else:
            texts.append((EIGHTHS_UP[pieces[0][1]], names[0], names[1] if len(names) > 1 else -1))
    return texts


def _glyph_row(cover: NDArray[np.int_], bottom: bool) -> list[tuple[str, int, int]]:
    """Per cell the glyph of the band that has most of it, where at least half of it is covered."""
    most, total = cover.argmax(axis=1).tolist(), cover.sum(axis=1)
    shown = (total >= (1 if bottom else 4)).tolist()
    return [(PLAIN[band], band, -1) if show else (" ", -1, -1) for band, show in zip(most, shown, strict=True)]


def _strip(ink: Ink, tones: Sequence[Style], texts: list[tuple[str, int, int]]) -> Strip:
    def tone(lower: int, upper: int) -> Style:
        if lower < 0:
            return ink.dim
        return tones[lower] if upper < 0 else Style.from_color(tones[lower].color, tones[upper].color)

    segments = []
    for (lower, upper), run in groupby(texts, key=lambda text: text[1:]):
        segments.append(Segment("".join(glyph for glyph, _, _ in run), tone(lower, upper)))
    return Strip(segments, len(texts))


def _runs(cells: list[tuple[str, Style]]) -> Strip:
    segments = [
        Segment("".join(glyph for glyph, _ in run), tone) for tone, run in groupby(cells, key=lambda cell: cell[1])
    ]
    return Strip(segments, len(cells))
