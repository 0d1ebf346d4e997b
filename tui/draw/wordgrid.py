"""A grid of words, one per patch of the image, each cut to the room there is and shaded by its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.strip import Strip

from .cells import Part, line
from .ink import Ink
from .shades import shaded

MAX_CELLS = 10


@dataclass(frozen=True, slots=True)
class WordGrid:
    """How a grid is laid out.

    Attributes:
        rows, cols: Of the patches.
        cell: Cells per patch, the blank after it included where there is room for one.
        shown: (rows, columns) on screen.
    """

    rows: int
    cols: int
    cell: int
    shown: tuple[int, int]

    def first(self, place: tuple[int, int]) -> tuple[int, int]:
        """The first row and column on screen, so that a patch is near the middle."""
        row, col = (
            max(0, min(at - n // 2, whole - n))
            for at, n, whole in zip(place, self.shown, (self.rows, self.cols), strict=True)
        )
        return row, col


def plan_grid(rows: int, cols: int, width: int, height: int) -> WordGrid:
    """Lays out a grid in at most (width, height) cells."""
    cell = max(1, min(MAX_CELLS, width // max(1, cols)))
    return WordGrid(rows, cols, cell, (max(1, min(rows, height)), max(1, min(cols, width // cell))))


def grid_lines(
    ink: Ink,
    width: int,
    grid: WordGrid,
    words: Sequence[str],
    probs: NDArray[np.floating],
    special: NDArray[np.bool_],
    place: tuple[int, int] | None,
) -> list[Strip]:
    """Draws the patches on screen.

    Args:
        ink: Colours.
        width: Cells.
        grid: The layout.
        words: rows*cols texts, safe to show, not empty.
        probs: [rows*cols] in 0..1.
        special: [rows*cols] which stand out in the answer's colour.
        place: (row, column) of the patch under the cursor, or None.
    """
    top, left = grid.first(place or (0, 0))
    made = []
    for row in range(top, top + grid.shown[0]):
        parts: list[Part] = []
        for col in range(left, left + grid.shown[1]):
            i = row * grid.cols + col
            under = (row, col) == place
            text = _cut(words[i], grid.cell)
            if under and grid.cell >= 3:
                text = f"[{_cut(words[i], grid.cell - 2)[: grid.cell - 2]}]"
            tone = shaded(ink.groups[3 if special[i] else 1], ink.background, float(probs[i]))
            parts.append((text, ink.mark if under else tone))
        made.append(line(ink, width, *parts))
    return made


def _cut(word: str, cells: int) -> str:
    """The beginning of a word in exactly so many cells, the last one blank where there are three or more."""
    room = cells - 1 if cells >= 3 else cells
    made, used = "", 0
    for character in word:
        wide = cell_len(character)
        if used + wide > room:
            break
        made, used = made + character, used + wide
    return made + " " * (cells - used)
