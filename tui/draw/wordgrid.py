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
from .tokenstrip import level

MAX_CELLS = 10


@dataclass(frozen=True, slots=True)
class WordGrid:
    """How a grid is laid out.

    Attributes:
        rows, cols: Of the patches.
        cell: Cells per patch; the last one tells the probability, where there are two or more.
        shown: (rows, columns) on screen.
        high: Lines per patch; the second one tells the probability in numbers.
    """

    rows: int
    cols: int
    cell: int
    shown: tuple[int, int]
    high: int = 1

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
    high = max(1, min(height // max(1, rows), round(cell / 2), 3))
    return WordGrid(rows, cols, cell, (max(1, min(rows, height)), max(1, min(cols, width // cell))), high)


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
        rows: list[list[Part]] = [[] for _ in range(grid.high)]
        for col in range(left, left + grid.shown[1]):
            i = row * grid.cols + col
            under = (row, col) == place
            tone = ink.mark if under else shaded(ink.groups[3 if special[i] else 1], ink.background, float(probs[i]))
            for parts, text in zip(rows, _texts(words[i], float(probs[i]), grid, under=under), strict=True):
                parts.append((text, tone))
        made += [line(ink, width, *parts) for parts in rows]
    return made


def _texts(word: str, prob: float, grid: WordGrid, *, under: bool) -> list[str]:
    """A patch's lines."""
    cells = grid.cell
    if under and cells >= 3:
        first = f"[{_cut(word, cells - 2)}]"
    elif cells == 1:
        first = _cut(word, 1)
    else:
        first = _cut(word, cells - 1) + (level(prob, 1) if grid.high == 1 else " ")
    number = f"{100 * prob:.0f} %"
    second = number if len(number) < cells and word.strip() else ""
    return [first, f"{second:<{cells}}", " " * cells][: grid.high]


def _cut(word: str, cells: int) -> str:
    """The beginning of a word in exactly so many cells."""
    made, used = "", 0
    for character in word:
        wide = cell_len(character)
        if used + wide > cells:
            break
        made, used = made + character, used + wide
    return made + " " * (cells - used)
