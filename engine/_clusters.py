"""Ratios of sums, drawn again by whole clusters: the questions on one image are not independent. Torch-free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 1 << 23
"""Numbers of times that are held at once."""


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """0 where nothing can be counted: a data set without any mention has no wrong one."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def sum_clusters(numerator: Floats, denominator: Floats, clusters: NDArray[np.generic]) -> Floats:
    """Numerators and denominators of each cluster.

    Args:
        numerator, denominator: [items columns].
        clusters: [items] image of each item.

    Returns:
        [2 clusters columns].
    """
    _, index = np.unique(clusters, return_inverse=True)
    sums = np.zeros((2, int(index.max()) + 1, numerator.shape[1]))
    np.add.at(sums[0], index, numerator)
    np.add.at(sums[1], index, denominator)
    return sums


def draw(sums: Floats, replicates: int, seed: int) -> Floats:
    """Numerators and denominators of each draw of as many clusters as there are: [2 B columns]."""
    count = sums.shape[1]
    rng = np.random.default_rng(seed)
    drawn = np.empty((2, replicates, sums.shape[2]))
    # Blocks of draws: a million images would need 16 GB at once.
    step = max(1, BLOCK // count)
    for start in range(0, replicates, step):
        rows = range(start, min(start + step, replicates))
        weights = np.stack([np.bincount(rng.integers(count, size=count), minlength=count) for _ in rows])
        drawn[:, start : rows.stop] = weights.astype(np.float64) @ sums
    return drawn


def draw_one_more(one_more: Floats, replicates: int, seed: int) -> Floats:
    """What to add to each draw for one cluster more, drawn as often as any other is in a large sample: [2 B columns].

    Args:
        one_more: [2 1 columns] numerator and denominator of the cluster.
        replicates, seed: As in `draw`.
    """
    times = np.random.default_rng((seed, 1)).poisson(1, (1, replicates, 1))
    return np.asarray(times * one_more, dtype=np.float64)
