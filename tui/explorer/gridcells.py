"""The cells of a run's grids: which image token each is, and what lies beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import Span, Tokens


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        grid: Index of its span.
        row, col: In that grid.
    """

    grid: int
    row: int
    col: int


class GridCells:
    """Image tokens by their place. Query tokens have no place of their own, so they are no cells.

    Args:
        tokens: The sequence.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._spans = tokens.spans
        image = tokens.image_positions
        index = np.full(len(tokens.ids), -1, dtype=np.int64)
        index[image] = np.arange(len(image))
        self._index: list[NDArray[np.int64]] = [index[span.positions()] for span in tokens.spans]
        self._cells = {
            int(token): Cell(grid, row, col)
            for grid, tokens_there in enumerate(self._index)
            for (row, col), token in np.ndenumerate(tokens_there)
        }

    def __len__(self) -> int:
        return len(self._cells)

    def cell(self, token: int) -> Cell | None:
        """Where an image token lies, by its index among the image tokens; None where it is no cell."""
        return self._cells.get(token)

    def token(self, cell: Cell) -> int:
        """Which image token a cell is."""
        return int(self._index[cell.grid][cell.row, cell.col])

    def beside(self, token: int, down: int, right: int) -> int:
        """The image token some cells away.

        Beyond the edge of a grid lies the one that touches it there in the same image, as tiles do; beyond the last of
        those the next grid (or, up and to the left, the one before) in the order of the prompt, and at the end nothing.

        Args:
            token: Where to start.
            down: Rows, negative upwards.
            right: Columns, negative to the left.
        """
        for step, count in (((1 if down > 0 else -1, 0), abs(down)), ((0, 1 if right > 0 else -1), abs(right))):
            for _ in range(count):
                token = self._step(token, *step)
        return token

    def _step(self, token: int, down: int, right: int) -> int:
        here = self._cells.get(token)
        if here is None:
            return token
        rows, cols = self._index[here.grid].shape
        row, col = here.row + down, here.col + right
        if 0 <= row < rows and 0 <= col < cols:
            return int(self._index[here.grid][row, col])
        beyond = self._touching(here.grid, here, down, right)
        if beyond is None:
            beyond = self._next(here.grid, 1 if down + right > 0 else -1)
            if beyond is None:
                return token
        return self._enter(here, beyond, down, right)

    def _touching(self, grid: int, here: Cell, down: int, right: int) -> int | None:
        """The grid of the same image that begins where this one ends, beside the cell."""
        rows, cols = self._index[grid].shape
        span = self._spans[grid]
        across, along = (0, 1) if right else (1, 0)
        low, high = span.box_px[along], span.box_px[along + 2]
        part = (here.row + 0.5) / rows if right else (here.col + 0.5) / cols
        at = low + part * (high - low)
        edge = span.box_px[across + 2] if down + right > 0 else span.box_px[across]
        slack = 0.5 * (span.box_px[across + 2] - span.box_px[across]) / (cols if right else rows)
        for other, there in enumerate(self._spans):
            begins = there.box_px[across] if down + right > 0 else there.box_px[across + 2]
            same = other != grid and there.image == span.image and self._index[other].size
            if same and abs(begins - edge) <= slack and there.box_px[along] <= at < there.box_px[along + 2]:
                return other
        return None

    def _next(self, grid: int, step: int) -> int | None:
        other = grid + step
        while 0 <= other < len(self._index) and not self._index[other].size:
            other += step
        return other if 0 <= other < len(self._index) else None

    def _enter(self, here: Cell, grid: int, down: int, right: int) -> int:
        """The cell at the near edge of another grid, as far along it as the one that is left."""
        rows, cols = self._index[grid].shape
        old, new = self._spans[here.grid], self._spans[grid]
        was = self._index[here.grid].shape
        if right:
            row = _along(here.row, was[0], rows, (old, new), 1)
            return int(self._index[grid][row, 0 if right > 0 else cols - 1])
        col = _along(here.col, was[1], cols, (old, new), 0)
        return int(self._index[grid][0 if down > 0 else rows - 1, col])


def _along(place: int, count: int, others: int, spans: tuple[Span, Span], axis: int) -> int:
    """The row or column of another grid at the same height of the image, or at the same part of another image."""
    old, new = spans
    part = (place + 0.5) / count
    if old.image == new.image:
        at = old.box_px[axis] + part * (old.box_px[axis + 2] - old.box_px[axis])
        part = (at - new.box_px[axis]) / max(1e-9, new.box_px[axis + 2] - new.box_px[axis])
    return min(others - 1, max(0, int(part * others)))
