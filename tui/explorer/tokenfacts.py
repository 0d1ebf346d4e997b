"""The sequence as the tokens view shows it, and how much attention each part of it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, Run, Tokens
from flowtui.tui.draw.cells import clip
from flowtui.tui.draw.tokenstrip import Chip
from flowtui.tui.text import visible

from .derived import Derived

IMAGE = GROUPS.index("image")
MAX_TOKEN_CELLS = 40
MAX_BETWEEN = 8
"""So many text tokens between two image blocks, like a tile's marker, do not start a part of their own."""


@dataclass(frozen=True, slots=True)
class Item:
    """A text token, or the tokens of one image grid.

    Attributes:
        start, end: Token positions.
        chip: How it is drawn.
        images: Image tokens in it.
        name: A block's name; "" for a text token.
    """

    start: int
    end: int
    chip: Chip
    images: int = 0
    name: str = ""


class TokenFacts:
    """A run's sequence and its attention.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._tokens = run.tokens
        found = run.analyses.get("attention")
        self._arrays: dict[int, Mapping[str, Any]] = (
            {} if found is None else {k: r.arrays for k, r in found.layers.items()}
        )
        self._layers = run.model.layers
        self._tables: dict[int | None, NDArray[np.float64]] = {}

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The sequence in order, every token in exactly one item."""
        return tuple(_in_parts(list(_items(self._tokens))))

    @cached_property
    def chips(self) -> tuple[Chip, ...]:
        """How each item is drawn."""
        return tuple(item.chip for item in self.items)

    @cached_property
    def of_text(self) -> NDArray[np.bool_]:
        """Which items are text tokens: [items]."""
        return np.array([not item.images for item in self.items], dtype=bool)

    @property
    def has_text(self) -> bool:
        """Whether the run holds attention over text tokens, in any layer."""
        return any("text_rows" in arrays for arrays in self._arrays.values())

    def answer_item(self, token: int) -> int:
        """The item of an answer token."""
        return len(self.items) - (len(self._tokens.ids) - self._tokens.answer_start) + token

    def token_of(self, item: int) -> int | None:
        """The answer token of an item, or None."""
        token = self.items[item].start - self._tokens.answer_start
        return token if token >= 0 else None

    def table(self, token: int | None) -> NDArray[np.float64]:
        """Attention that each item gets, its tokens summed.

        Args:
            token: From this answer token; None for the mean over all.

        Returns:
            [L items], head mean; NaN where a layer is missing or holds no attention over text.
        """
        if token not in self._tables:
            starts = np.array([item.start for item in self.items], dtype=np.intp)
            image = self._tokens.image_positions
            text = np.flatnonzero(self._tokens.group != IMAGE)
            made = np.full((self._layers, len(self.items)), np.nan)
            for layer, arrays in self._arrays.items():
                row = np.full(len(self._tokens.ids), np.nan)
                row[image] = _row(arrays["image_rows"], token)
                if "text_rows" in arrays:
                    row[text] = _row(arrays["text_rows"], token)
                made[layer] = np.add.reduceat(row, starts)
            self._tables = {token: made}
        return self._tables[token]

    def strongest(self, layer: int, token: int | None, count: int) -> list[int]:
        """The most attended text items of a layer, the first first; of equal ones the earlier in the sequence."""
        values = self._text_values(layer, token)
        known = np.flatnonzero(np.isfinite(values))
        return [int(i) for i in known[np.argsort(-values[known], kind="stable")[:count]]]

    def rank(self, layer: int, token: int | None, item: int) -> int | None:
        """An item's place in `strongest`, from 0; None where it is none."""
        values = self._text_values(layer, token)
        if not np.isfinite(values[item]):
            return None
        before = values[:item] == values[item]
        return int((values > values[item]).sum() + before.sum())

    def top(self, layer: int, token: int | None) -> float:
        """The largest value of a text token apart from the first of all, which often takes most; 0 for none."""
        values = self._text_values(layer, token)
        rest = values[1:]
        high = float(np.nanmax(rest, initial=0))
        return high or float(np.nanmax(values, initial=0))

    def _text_values(self, layer: int, token: int | None) -> NDArray[np.float64]:
        """[items], NaN where there is no text token."""
        return np.where(self.of_text, self.table(token)[layer], np.nan)


def _row(rows: NDArray[np.floating], token: int | None) -> NDArray[np.floating]:
    if token is not None:
        return np.asarray(rows[token])
    return np.asarray(rows.mean(axis=0, dtype=np.float64) if len(rows) else rows.sum(axis=0))


def _items(tokens: Tokens) -> Iterator[Item]:
    """Text tokens one by one, image tokens by grid."""
    owner = np.full(len(tokens.ids), -1, dtype=np.int64)
    for index, span in enumerate(tokens.spans):
        owner[span.start : span.end] = index
    image = tokens.group == IMAGE
    grids, folds = owner.tolist(), (image | (owner >= 0)).tolist()
    for (grid, folded), run in groupby(range(len(owner)), lambda p: (grids[p], folds[p])):
        positions = list(run)
        if not folded:
            yield from (Item(p, p + 1, Chip(_text(tokens, p), int(tokens.group[p]), GROUPS[tokens.group[p]]))
                        for p in positions)  # fmt: skip
            continue
        start, end = positions[0], positions[-1] + 1
        count = int(image[start:end].sum())
        name = _name(tokens, grid, count)
        yield Item(start, end, Chip(name, IMAGE, "image", block=True), count, name)


def _name(tokens: Tokens, grid: int, count: int) -> str:
    if grid < 0:
        return f"image, {count} tokens without a grid"
    span = tokens.spans[grid]
    which = f"image {span.image}" if len({s.image for s in tokens.spans}) > 1 else "image"
    if sum(s.image == span.image for s in tokens.spans) > 1:
        which += f" grid {sum(s.image == span.image for s in tokens.spans[:grid])}"
    shape = f"{span.rows}×{span.cols}" if span.rows else ""
    if shape and span.rows * span.cols == count:
        return f"{which} {shape} = {count} tokens"
    return f"{which} {shape + ', ' if shape else ''}{count} tokens"


def _text(tokens: Tokens, position: int) -> str:
    """A token's text with its blanks visible."""
    text = visible(tokens.text[position]).replace(" ", "␣")
    return clip(text, MAX_TOKEN_CELLS) if text else f"⟨{tokens.ids[position]}⟩"


def _in_parts(items: list[Item]) -> Iterator[Item]:
    """Puts what stands between two image blocks into their part, where it is short."""
    blocks = [i for i, item in enumerate(items) if item.images]
    between = {
        i for before, after in pairwise(blocks) if after - before - 1 <= MAX_BETWEEN for i in range(before + 1, after)
    }
    for i, item in enumerate(items):
        chip = item.chip
        yield item if i not in between else Item(item.start, item.end, Chip(chip.text, chip.group, "image"))


token_facts = Derived(TokenFacts)
