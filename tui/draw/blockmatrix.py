"""A square matrix whose cells come in named blocks: heat with the blocks' borders, and their names along both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from textual.strip import Strip

from .cells import Part, line
from .character import glyphs
from .colours import colour
from .halfblock import half_blocks
from .ink import Ink

BORDER = (118, 118, 118)
"""Grey that no colour map has, readable on dark and light."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Blocks on one axis of pixels.

    Attributes:
        spans: (first pixel, pixels) of each block; between two blocks lies one pixel of border where there is room.
        length: Pixels in all.
    """

    spans: tuple[tuple[int, int], ...]
    length: int

    def pooling(self, counts: Sequence[int], weights: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """Turns cells into pixels: [length cells], zero rows for borders.

        Args:
            counts: Cells of each block.
            weights: [cells] to take a weighted mean of the cells that share a pixel; None for their sum.
        """
        made = np.zeros((self.length, sum(counts)))
        for (start, size), first, count in zip(self.spans, accumulate(counts, initial=0), counts, strict=False):
            for pixel in range(size):
                low = pixel * count // size
                cells = slice(first + low, first + max(low + 1, (pixel + 1) * count // size))
                part = 1.0 if weights is None else weights[cells] / max(float(weights[cells].sum()), 1e-12)
                made[start + pixel, cells] = part
        return made


def lay_out(counts: Sequence[int], least: Sequence[int], length: int) -> Axis:
    """Shares out an axis: every block its least where there is room for that, the rest by their cells.

    Args:
        counts: Cells of each block.
        least: Pixels that each block should have.
        length: Pixels there are.
    """
    border = 1 if length >= 3 * len(counts) else 0
    room = length - border * (len(counts) - 1)
    base = [min(wanted, room // len(counts)) for wanted in least]
    exact = np.cumsum([0.0, *(np.array(counts) / max(1, sum(counts)) * (room - sum(base)))])
    extra = np.diff(np.rint(exact).astype(int)).tolist()
    spans, at = [], 0
    for size in (b + e for b, e in zip(base, extra, strict=True)):
        spans.append((at, size))
        at += size + border
    return Axis(tuple(spans), length)


def heat(
    ink: Ink, values: NDArray[np.floating], down: Axis, across: Axis, *, palette: str = "inferno", plain: bool = False
) -> list[Strip]:
    """Draws pixels with the blocks' borders.

    Args:
        ink: Colours.
        values: [down.length across.length] in 0..1.
        down, across: The blocks; pixels that lie in none are borders.
        palette: Colour map.
        plain: One glyph a pixel in place of half blocks, two pixels a cell.

    Returns:
        Strips of `across.length` cells: one a pixel row, or one for two of them.
    """
    inside_y, inside_x = _inside(down), _inside(across)
    if plain:
        strips = []
        for row, text in enumerate(glyphs(values)):
            if not inside_y[row]:
                text = "".join("─" if there else "┼" for there in inside_x)
            else:
                text = "".join(glyph if there else "│" for glyph, there in zip(text, inside_x, strict=True))
            strips.append(Strip([Segment(text, ink.text)], across.length))
        return strips
    rgb = colour(values, palette)
    rgb[~(inside_y[:, None] & inside_x[None])] = BORDER
    if len(rgb) % 2:
        rgb = np.concatenate([rgb, np.full((1, across.length, 3), ink.background, dtype=np.uint8)])
    return half_blocks(rgb)


def names_down(down: Axis, names: Sequence[str], rows: int, pixels: int) -> list[str]:
    """A name for each line of cells, at the middle of its block; of two on one line the larger block's.

    Args:
        down: The axis.
        names: Of the blocks.
        rows: Lines.
        pixels: Pixels a line.
    """
    made, size_at = [""] * rows, [0] * rows
    for (start, size), name in zip(down.spans, names, strict=True):
        row = min(rows - 1, (start + max(0, size - 1) // 2) // pixels)
        if size > size_at[row]:
            made[row], size_at[row] = name, size
    return made


def names_across(ink: Ink, across: Axis, names: Sequence[Part]) -> Strip:
    """One line of names, each below its block; one that does not fit is shortened to four letters or to one."""
    parts: list[Part] = []
    at = 0
    for (start, size), (name, tone) in zip(across.spans, names, strict=True):
        text = next((t for t in (name, name[:4], name[:1]) if len(t) <= size), "")
        left = start + (size - len(text)) // 2
        if text and left >= at:
            parts += [(" " * (left - at), ink.text), (text, tone)]
            at = left + len(text)
    return line(ink, across.length, *parts)


def _inside(axis: Axis) -> NDArray[np.bool_]:
    made = np.zeros(axis.length, dtype=bool)
    for start, size in axis.spans:
        made[start : start + size] = True
    # Without borders there is nothing between blocks; what is left over at the end belongs to none.
    return made
