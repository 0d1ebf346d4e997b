"""Numbers of every attention head: its share of the image, its entropy, and which heads stand out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, Run

from .derived import Derived
from .look import Measure, Norm
from .shares import group_shares

IMAGE = GROUPS.index("image")


@dataclass(frozen=True, slots=True)
class Head:
    """One head that stands out.

    Attributes:
        layer, head: Which, 0-based.
        value: Its share in 0..1, or its entropy in nats.
    """

    layer: int
    head: int
    value: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """Every head there is, the one that stands out most first.

    Attributes:
        layers, heads: [n] which.
        values: [n] their shares or entropies.
    """

    layers: NDArray[np.intp]
    heads: NDArray[np.intp]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: int) -> Head:
        return Head(int(self.layers[place]), int(self.heads[place]), float(self.values[place]))

    def place(self, layer: int, head: int | None) -> int | None:
        """A head's index, None for the mean and where it is missing."""
        found = np.flatnonzero((self.layers == layer) & (self.heads == (-1 if head is None else head)))
        return int(found[0]) if len(found) else None


class HeadFacts:
    """Numbers of one run's heads.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        found = run.analyses.get("attention")
        self._arrays = {} if found is None else {k: r.arrays for k, r in found.layers.items()}
        self._layers, self.heads = run.model.layers, run.model.heads
        self._tables: dict[tuple[Measure, int | None, Norm], NDArray[np.float64]] = {}
        self._ranked: dict[tuple[Measure, int | None, Norm], Ranked] = {}

    def has(self, measure: Measure) -> bool:
        """Whether the run holds this number, in any layer."""
        return any(measure == "image share" or "entropy" in arrays for arrays in self._arrays.values())

    def table(self, measure: Measure, token: int | None, norm: Norm) -> NDArray[np.float64]:
        """A number of every head.

        Args:
            measure: The image's share of attention, 0..1, or the entropy of the whole row, nats.
            token: Answer token; None for the mean over all.
            norm: How shares are normalised.

        Returns:
            [1+H L]: the mean over heads, then each head; NaN where a layer is missing.
        """
        key = (measure, token, norm if measure == "image share" else "all")
        if key not in self._tables:
            made = np.full((1 + self.heads, self._layers), np.nan)
            for layer, arrays in self._arrays.items():
                values = self._of_layer(arrays, measure, token, norm)
                if values is not None:
                    made[:, layer] = [values.mean(), *values]
            self._tables[key] = made
        return self._tables[key]

    def shares(self, layer: int, head: int | None, token: int | None, norm: Norm) -> NDArray[np.float64] | None:
        """What each group gets of a head's attention (of all heads' on average): [4], or None where it is missing."""
        arrays = self._arrays.get(layer)
        if arrays is None or not arrays["share"].shape[1]:
            return None
        rows = group_shares(arrays, norm, token)
        return np.asarray(_mean(rows)[head] if head is not None else _mean(rows).mean(axis=0))

    def strongest(self, measure: Measure, token: int | None, norm: Norm) -> Ranked:
        """Every head, the one with most image first; by entropy the lowest first, which is the most focused."""
        key = (measure, token, norm)
        if key not in self._ranked:
            table = self.table(measure, token, norm)[1:]
            heads, layers = np.nonzero(np.isfinite(table))
            values = table[heads, layers]
            order = np.lexsort((heads, layers, values if measure == "entropy" else -values))
            self._ranked[key] = Ranked(layers[order], heads[order], values[order])
        return self._ranked[key]

    def _of_layer(
        self, arrays: Mapping[str, Any], measure: Measure, token: int | None, norm: Norm
    ) -> NDArray[np.float64] | None:
        """[H], or None where it is missing."""
        if not arrays["share"].shape[1] or (measure == "entropy" and "entropy" not in arrays):
            return None
        if measure == "entropy":
            entropy = np.asarray(arrays["entropy"], dtype=np.float64)
            return _mean(entropy if token is None else entropy[token : token + 1])
        return np.asarray(_mean(group_shares(arrays, norm, token))[:, IMAGE])


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over answer tokens; of an empty answer zero."""
    return np.asarray(rows.mean(axis=0) if len(rows) else rows.sum(axis=0))


head_facts = Derived(HeadFacts)
