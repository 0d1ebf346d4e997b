"""Whether an answer stays the same when the image is cut, judged by the KL divergence alone. Torch-free.

Decoding is what a truncation curve spends most on. The KL from the full model comes without it, so a threshold eta on
it is a cheap screen: at or below eta the answer is taken to stay. How often that is wrong is counted on a sweep that
did decode, at every threshold, with an interval; what K = L says (KL 0, the same answer) is left out.

Source: the calibration is a ratio of sums over a sweep's pairs of item and K, drawn by image; the thresholds are tried
in ascending order up to the first that cannot be certified, so that trying several costs no error (Angelopoulos et al.
2021, "Learn then Test", fixed sequence).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.errors import UsageError

from ._clusters import Floats, draw, draw_one_more, ratio, sum_clusters
from .noninferiority import LEVEL, REPLICATES

ETAS_NATS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Screen:
    """What the screen lets through at each threshold, and how much of it is wrong.

    Attributes:
        eta: [T] thresholds on the mean KL, nats, ascending.
        passed: [T] part of the pairs of item and K at or below eta.
        changed: [T] part of those whose answer is another one all the same; 0 where none passes.
        low, high: [T] 5th percentile of `changed`, and its upper bound at 95 %; 1 where none passes.
        tolerance: The part of changed answers that is accepted.
        chosen: Largest eta up to which `high` stays at or below the tolerance, nats; None: not even the smallest.
        pairs, clusters: How many pairs of item and K, and images.
    """

    eta: Floats
    passed: Floats
    changed: Floats
    low: Floats
    high: Floats
    tolerance: float
    chosen: float | None
    pairs: int
    clusters: int

    @property
    def verdict(self) -> str:
        """One sentence that can say "none"."""
        limit = f"{100 * self.tolerance:g} %"
        if self.chosen is None:
            return f"KL screen: no threshold keeps changed answers at or below {limit} for certain."
        at = int(np.flatnonzero(self.eta == self.chosen)[0])
        return (
            f"KL screen: at or below {self.chosen:g} nats ({100 * self.passed[at]:.0f} % of the pairs of item and K) "
            f"{100 * self.changed[at]:.2f} % of the answers change, at most {100 * self.high[at]:.2f} %, within "
            f"{limit}."
        )


def find_screen(
    kl: NDArray[np.floating],
    same: NDArray[np.bool_],
    clusters: NDArray[np.generic],
    *,
    etas: tuple[float, ...] = ETAS_NATS,
    tolerance: float = TOLERANCE,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Screen:
    """Calibrates the screen on a sweep.

    Args:
        kl: [items L+1] mean KL(full || cut at K), nats, >= 0.
        same: [items L+1] whether greedy decoding gives the full model's answer.
        clusters: [items] image of each item.
        etas: Thresholds, ascending.
        tolerance: The part of changed answers that is accepted, 0 to 1.
        replicates: Bootstrap draws B.
        seed: Of the draws.

    Raises:
        UsageError: Shapes that do not fit, no items, a KL that is none, or thresholds or a tolerance that cannot be
            meant.
    """
    kl, same = np.asarray(kl, dtype=np.float64)[:, :-1], np.asarray(same, dtype=bool)[:, :-1]
    if kl.shape != same.shape or min(kl.shape) < 1 or len(clusters) != len(kl):
        raise UsageError(
            "A KL screen needs the KL and the agreement of items at K = 0..L, with one image for each item."
        )
    if not (np.isfinite(kl).all() and (kl >= 0).all()):
        raise UsageError("A sweep's KL must be numbers of nats >= 0.")
    if not (0 < tolerance < 1 and etas and list(etas) == sorted(set(etas)) and all(map(_is_threshold, etas))):
        raise UsageError("Thresholds must ascend from 0 nats on, and the tolerance lie between 0 and 1.")
    passes = np.stack([kl <= eta for eta in etas])
    passed = passes.sum(axis=2).T.astype(np.float64)
    wrong = (passes & ~same).sum(axis=2).T.astype(np.float64)
    sums = sum_clusters(wrong, passed, clusters)
    draws = draw(sums, replicates, seed)
    careful = ratio(*(draws + draw_one_more(_wrong_image(sums), replicates, seed)))
    changed, some = ratio(wrong.sum(axis=0), passed.sum(axis=0)), passed.any(axis=0)
    high = np.where(some, np.quantile(careful, 1 - LEVEL, axis=0), 1.0)
    certain = int(np.cumprod(high <= tolerance).sum())
    return Screen(
        eta=np.array(etas),
        passed=passed.sum(axis=0) / kl.size,
        changed=changed,
        low=np.quantile(ratio(*draws), LEVEL, axis=0),
        high=high,
        tolerance=tolerance,
        chosen=etas[certain - 1] if certain else None,
        pairs=kl.size,
        clusters=sums.shape[1],
    )


def _is_threshold(eta: float) -> bool:
    return eta >= 0 and math.isfinite(eta)


def _wrong_image(sums: Floats) -> Floats:
    """An image with as many wrong pairs as an image has that has any; where none has, all its pairs are wrong.

    Where no wrong pair is in the sample, the bootstrap alone would be sure that there is none: [2 1 T].
    """
    wrong, passed = sums
    bad, some = (wrong > 0).sum(axis=0), np.maximum((passed > 0).sum(axis=0), 1)
    size = passed.sum(axis=0) / some
    mean_wrong = np.where(bad > 0, wrong.sum(axis=0) / np.maximum(bad, 1), size)
    return np.stack([mean_wrong, np.maximum(size, mean_wrong)])[:, None]
