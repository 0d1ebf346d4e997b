"""Layers on columns of cells: every row of a panel that runs over the layers shares one of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Columns:
    """`count` items over at most `width` cells, all equally wide where there is room for that.

    Attributes:
        count: Items (layers), at least 1.
        width: Cells to use at most, at least 1.
    """

    count: int
    width: int

    @property
    def step(self) -> int:
        """Cells per item; 0 where items share cells."""
        return self.width // self.count

    @property
    def used(self) -> int:
        """Cells really taken."""
        return self.step * self.count if self.step else self.width

    def start(self, item: int) -> int:
        """First cell of an item."""
        return item * self.step if self.step else min(item * self.width // self.count, self.width - 1)

    def end(self, item: int) -> int:
        """One past the item's last cell."""
        return max(self.start(item) + 1, self.start(item + 1)) if not self.step else (item + 1) * self.step

    def item(self, cell: int) -> int:
        """The item drawn at a cell; of several the first."""
        if self.step:
            return min(cell // self.step, self.count - 1)
        return min(-(-cell * self.count // self.width), self.count - 1)

    def spread(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """One value per used cell; items that share a cell are averaged over those that are there (NaN: none is)."""
        exact: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        if self.step:
            repeated: NDArray[np.float64] = np.repeat(exact, self.step)
            return repeated
        known = np.flatnonzero(np.isfinite(exact))
        cells = np.minimum(known * self.width // self.count, self.width - 1)
        sums = np.bincount(cells, exact[known], self.width)
        there = np.bincount(cells, minlength=self.width)
        made = np.full(self.width, np.nan)
        np.divide(sums, there, out=made, where=there > 0)
        return made


def wanted_labels(count: int, cells_each: float, first: Sequence[int | None]) -> list[tuple[int, str]]:
    """Numbers to write below items, in order of importance: some items, the ends, then every round number that fits.

    Args:
        count: Items.
        cells_each: Cells from one item to the next.
        first: Items that matter most; None is left out.
    """
    last = count - 1
    room = len(str(last)) + 1
    every = next((n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n * cells_each >= room), 500)
    items = [*(i for i in first if i is not None), 0, last, *range(0, last, every)]
    return [(i, str(i)) for i in dict.fromkeys(items)]


class Placed(Protocol):
    """Anything that knows the cell where an item starts."""

    def start(self, item: int, /) -> int:
        """First cell of an item."""
        ...


def place_labels(columns: Placed, wanted: list[tuple[int, str]], width: int) -> list[tuple[int, str]]:
    """Labels below their items, the first in the list first; one that would touch an earlier one is left out.

    Args:
        columns: Where items are.
        wanted: (item, label), in order of importance.
        width: Cells of the row.

    Returns:
        (cell, label) from left to right.
    """
    taken = np.zeros(width + 2, dtype=bool)
    placed = []
    for item, label in wanted:
        cell = min(columns.start(item), width - len(label))
        # A blank on both sides; the row's own ends need none.
        if cell < 0 or taken[max(0, cell - 1) : cell + len(label) + 1].any():
            continue
        taken[cell : cell + len(label)] = True
        placed.append((cell, label))
    return sorted(placed)
