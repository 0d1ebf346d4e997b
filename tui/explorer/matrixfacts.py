"""Numbers of the matrix view: attention of all tokens in cells, and its means from group to group."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, Run

from .derived import Derived


@dataclass(frozen=True, slots=True)
class Matrix:
    """One layer's matrix.

    Attributes:
        share: [C C] float64: mean over the row's tokens, sum over the column's; a row sums to 1.
        tokens: [C] tokens of each cell.
        runs: (group, cells) of each run of one group, in order.
        blocks: [4 4] mean share from each group's tokens (row) to each group (column); NaN for a group without tokens.
        source: The layer's result it was taken from.
    """

    share: NDArray[np.float64]
    tokens: NDArray[np.int64]
    runs: tuple[tuple[int, int], ...]
    blocks: NDArray[np.float64]
    source: object


class MatrixFacts:
    """Matrices of one run, made when they are asked for."""

    def __init__(self, run: Run) -> None:
        found = run.analyses.get("matrix")
        self._results = {} if found is None else dict(found.layers)
        self._group = run.tokens.group
        self._made: dict[int, Matrix] = {}

    def at(self, layer: int) -> Matrix | None:
        """A layer's matrix, None where it is missing."""
        if layer not in self._made and layer in self._results:
            self._made[layer] = self._make(layer)
        return self._made.get(layer)

    def ranked(self) -> list[int]:
        """Layers, the one where the answer looks most at the image first."""
        answer, image = GROUPS.index("answer"), GROUPS.index("image")
        looks = {layer: float(np.nan_to_num(self._blocks(layer)[answer, image])) for layer in sorted(self._results)}
        return sorted(looks, key=lambda layer: -looks[layer])

    def _blocks(self, layer: int) -> NDArray[np.float64]:
        found = self.at(layer)
        assert found is not None
        return found.blocks

    def _make(self, layer: int) -> Matrix:
        result = self._results[layer]
        share = np.asarray(result.arrays["share"], dtype=np.float64)
        edges = np.asarray(result.arrays["edges"], dtype=np.int64)
        # A file from elsewhere may place its cells anywhere: none may reach past the tokens.
        starts = np.clip(edges[:-1], 0, len(self._group) - 1)
        group = self._group[starts].astype(int)
        tokens = np.maximum(np.diff(edges), 0)
        member = (group[:, None] == np.arange(len(GROUPS))).astype(np.float64)
        weighted = member * tokens[:, None]
        total = weighted.sum(axis=0)[:, None]
        summed = weighted.T @ share @ member
        blocks = np.divide(summed, total, out=np.full_like(summed, np.nan), where=total > 0)
        blocks[:, total[:, 0] == 0] = np.nan
        runs = tuple((int(g), sum(1 for _ in cells)) for g, cells in groupby(group.tolist()))
        return Matrix(share, tokens, runs, blocks, result)


matrix_facts = Derived(MatrixFacts)
