"""The cliff of a data set: from which K on the image can be cut at a loss smaller than a margin. Torch-free.

Source: non-inferiority testing with a cluster bootstrap; the rule is docs/method.md's ("Cliff", A data set). The paper
reads its cliffs off curves of means and gives no interval.

Scores are ratios of sums, which covers both a mean (every denominator is 1) and CHAIR (hallucinated over all mentions):
D(K) = sum of numerators at K / sum of denominators at K, minus the same at L, in units of the score, larger is better.
All images' items are drawn together, for questions on one image are not independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.errors import UsageError

Floats = NDArray[np.float64]

LEVEL = 0.05
"""One-sided level of the lower bound; the bands and the interval are two-sided at twice that."""
REPLICATES = 2000
MARGIN = 0.01

POWER_FACTOR = 2.486
"""z(0.95) + z(0.80): items for 80 % power are d * (2.486 / delta)^2, d the part of items whose score differs."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A sweep's curve, its cliff and how far to trust both, in units of the score (0.01 is one point of a percentage).

    Attributes:
        score: [L+1] score at each K.
        difference: [L+1] score at K minus score at L; the last is 0.
        low, high: [L+1] simultaneous bands (max-t) of `difference`, raw: a real gain shows here.
        bound: [L+1] lower bound of the isotonic curve, by which the cliff is found.
        k: The cliff: smallest K whose bound and all later ones exceed -margin; None: none below L.
        interval: (first, last) K of the replicates' own cliffs, 5th to 95th percentile; L stands for "none".
        margin: delta.
        items, clusters: How many items, and images.
        discordance: Largest part of items whose score differs between a K at or after the cliff (any K, if there is
            none) and L.
        needed: Items for 80 % power at that discordance.
        best_gain: Largest difference below L.
        best_gain_by_chance: What the largest of as many differences reaches in 95 % of draws where none is real.
    """

    score: Floats
    difference: Floats
    low: Floats
    high: Floats
    bound: Floats
    k: int | None
    interval: tuple[int, int]
    margin: float
    items: int
    clusters: int
    discordance: float
    needed: int
    best_gain: float
    best_gain_by_chance: float

    @property
    def verdict(self) -> str:
        """One sentence that can say "none"."""
        points = 100 * self.margin
        enough = (
            ""
            if self.items >= self.needed
            else f" Too few items to certify much: {self.items} of about {self.needed} for 80 % power."
        )
        if self.k is None:
            return f"No cliff: no K below {len(self.score) - 1} loses less than {points:g} points for certain.{enough}"
        first, last = self.interval
        return (
            f"From K = {self.k} on (interval {first} to {last}) cutting the image loses less than {points:g} points,"
            f" at a level of {LEVEL:g}.{enough}"
        )

    @property
    def gain_verdict(self) -> str:
        """Whether some K is better than the whole model, beyond what the best of so many gives by chance."""
        k = int(self.difference[:-1].argmax())
        words = "more" if self.best_gain > self.best_gain_by_chance else "no more"
        return (
            f"The best K ({k}) gains {100 * self.best_gain:.2f} points: {words} than the best of {len(self.score) - 1} "
            f"reaches by chance ({100 * self.best_gain_by_chance:.2f})."
        )


def find_curve(
    numerator: Floats,
    denominator: Floats,
    clusters: NDArray[np.integer],
    *,
    margin: float = MARGIN,
    replicates: int = REPLICATES,
    seed: int = 0,
    lower_is_better: bool = False,
) -> Curve:
    """Finds the cliff of a sweep.

    Args:
        numerator: [items L+1] of each item's score at K; for plain scores the score itself.
        denominator: [items L+1], or [items 1] where it does not depend on K; for plain scores 1.
        clusters: [items] image of each item.
        margin: delta, in units of the score.
        replicates: Bootstrap draws B.
        seed: Of the draws.
        lower_is_better: Turns the sign, as CHAIR asks for.

    Raises:
        UsageError: Shapes that do not fit, no items, or a margin that is none.
    """
    numerator = np.asarray(numerator, dtype=np.float64)
    denominator = np.broadcast_to(np.asarray(denominator, dtype=np.float64), numerator.shape)
    if numerator.ndim != 2 or min(numerator.shape) < 1 or numerator.shape[1] < 2 or len(clusters) != len(numerator):
        raise UsageError("A sweep's scores are a matrix of items by K = 0..L, with one image for each item.")
    if not (margin > 0 and math.isfinite(margin)) or replicates < 100:
        raise UsageError("The margin must be above 0, and there must be at least 100 replicates.")
    if not (np.isfinite(numerator).all() and np.isfinite(denominator).all() and (denominator >= 0).all()):
        raise UsageError("A sweep's scores must be numbers, and their denominators not negative.")
    sign = -1.0 if lower_is_better else 1.0
    score = _ratio(numerator.sum(0), denominator.sum(0))
    difference = sign * (score - score[-1])
    _, index = np.unique(clusters, return_inverse=True)
    count = int(index.max()) + 1
    drawn = sign * _bootstrap(numerator, denominator, index, count, replicates, seed)
    drawn = drawn - drawn[:, -1:]
    low, high, by_chance = _bands(drawn, difference)
    fitted = _isotonic(drawn)
    bound = np.quantile(fitted, LEVEL, axis=0)
    k = _first_after_all_exceed(bound[None], margin)[0]
    own = _first_after_all_exceed(fitted, margin)
    last = numerator.shape[1] - 1
    found = None if k >= last else int(k)
    interval = np.quantile(own, (LEVEL, 1 - LEVEL), method="nearest").astype(int)
    discordance = _discordance(numerator, denominator, 0 if found is None else found)
    return Curve(
        score=score,
        difference=difference,
        low=low,
        high=high,
        bound=bound,
        k=found,
        interval=(int(interval[0]), int(interval[1])),
        margin=margin,
        items=len(numerator),
        clusters=count,
        discordance=discordance,
        needed=items_needed(discordance, margin),
        best_gain=float(difference[:-1].max()),
        best_gain_by_chance=by_chance,
    )


def items_needed(discordance: float, margin: float) -> int:
    """Items for 80 % power: n = d * (2.486 / delta)^2 (docs/method.md)."""
    return math.ceil(discordance * (POWER_FACTOR / margin) ** 2)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """0 where nothing can be counted: a data set without any mention has no wrong one."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _bootstrap(
    numerator: Floats, denominator: Floats, index: NDArray[np.integer], count: int, replicates: int, seed: int
) -> Floats:
    """Scores of each draw of `count` clusters: [B L+1]."""
    of_clusters = np.zeros((2, count, numerator.shape[1]))
    np.add.at(of_clusters[0], index, numerator)
    np.add.at(of_clusters[1], index, denominator)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    return _ratio(weights @ of_clusters[0], weights @ of_clusters[1])


def _bands(drawn: Floats, difference: Floats) -> tuple[Floats, Floats, float]:
    """Simultaneous bands by the largest standardised deviation, and the best gain that chance alone reaches.

    The best gain is taken over the K that are not clearly worse than the whole model: only those can be thought better,
    and a K with a large real loss varies more than one without.
    """
    deviation = drawn - difference
    spread = deviation.std(axis=0)
    scaled = np.divide(np.abs(deviation), spread, out=np.zeros_like(deviation), where=spread > 0)
    reach = float(np.quantile(scaled.max(axis=1), 1 - 2 * LEVEL))
    low, high = difference - reach * spread, difference + reach * spread
    rivals = high[:-1] >= 0
    best = deviation[:, :-1][:, rivals].max(axis=1) if rivals.any() else np.zeros(len(deviation))
    return low, high, float(np.quantile(best, 1 - LEVEL))


def _isotonic(drawn: Floats) -> Floats:
    """Each draw's non-decreasing fit: more layers that see the image cannot make the model worse."""
    from scipy.optimize import isotonic_regression

    return np.stack([isotonic_regression(row).x for row in drawn])


def _first_after_all_exceed(curves: Floats, margin: float) -> NDArray[np.int64]:
    """Smallest K such that the curve exceeds -margin there and ever after: [curves]; L where only the last one does."""
    good = curves > -margin
    good[:, -1] = True
    # Counted from the end: how many in a row are good.
    run = np.cumprod(good[:, ::-1], axis=1).sum(axis=1)
    return np.asarray(curves.shape[1] - run, dtype=np.int64)


def _discordance(numerator: Floats, denominator: Floats, first: int) -> float:
    """Largest part of items that differ from the whole model, over K from `first` on."""
    differ = (numerator != numerator[:, -1:]) | (denominator != denominator[:, -1:])
    return float(differ[:, first:].mean(axis=0).max())
