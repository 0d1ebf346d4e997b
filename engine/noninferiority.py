"""The cliff of a data set: from which K on the image can be cut at a loss smaller than a margin. Torch-free.

Source: non-inferiority testing with a cluster bootstrap; the rule is docs/method.md's ("Cliff", A data set). The paper
reads its cliffs off curves of means and gives no interval.

Scores are ratios of sums, which covers both a mean (every denominator is 1) and CHAIR (hallucinated over all mentions):
D(K) = sum of numerators at K / sum of denominators at K, minus the same at L, in units of the score, larger is better.
All images' items are drawn together, for questions on one image are not independent.

Departure, stricter: the isotonic fit takes the best of many averages, so alone it finds a cliff too early several times
as often as its level says where a long stretch lies near the margin (docs/cliff.md). The bound is the lower of two. The
second one rests on the same assumption, that D does not fall: every average over i..K is then at most D(K), and the
highest lower bound of these averages, calibrated for their number, is one for D(K). And both are drawn with one item
more that loses at every K below L: about exact where so few items change that the sample may hold none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.errors import UsageError

from ._clusters import Floats, draw, draw_one_more, ratio, sum_clusters

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
        score_low, score_high: [L+1] 5th and 95th percentile of the score at each K.
        low, high: [L+1] simultaneous bands (max-t) of `difference`, raw: a real gain shows here.
        bound: [L+1] lower bound of `difference`, by which the cliff is found.
        k: The cliff: smallest K whose bound and all later ones exceed -margin; None: none below L.
        interval: (first, last): 5th to 95th percentile of the replicates' own cliffs, as far as `k` at least; L stands
            for "none".
        margin: delta.
        items, clusters: How many items, and images.
        discordance: Largest part of items whose score differs between a K at or after the cliff and L; without a
            cliff, the smallest part at any K.
        needed: Items for 80 % power at those K, for what really loses nothing.
        best_gain: Largest difference below L.
        best_gain_by_chance: What the largest of as many differences reaches in 95 % of draws where none is real.
    """

    score: Floats
    difference: Floats
    score_low: Floats
    score_high: Floats
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
        few = self.items < self.needed
        if self.k is None:
            power = f" {self.items} items are too few to certify any K: " if few else ""
            words = f"No cliff: no K below {len(self.score) - 1} loses less than {points:g} points for certain.{power}"
        else:
            first, last = self.interval
            power = f" With {self.items} items it may be found late: " if few else ""
            words = (
                f"From K = {self.k} on (interval {first} to {last}) cutting the image loses less than {points:g} "
                f"points, at a level of {LEVEL:g}.{power}"
            )
        return words + (f"about {self.needed} are needed for 80 % power." if few else "")

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
    score = ratio(numerator.sum(0), denominator.sum(0))
    difference = sign * (score - score[-1])
    sums = sum_clusters(numerator, denominator, clusters)
    draws = draw(sums, replicates, seed)
    scores = ratio(*draws)
    drawn = _differences(scores, sign)
    low, high, by_chance = _bands(drawn, difference)
    unit = _unit(numerator)
    lost = _lost_item(numerator, denominator, sign * unit)
    careful = _differences(ratio(*(draws + draw_one_more(lost, replicates, seed))), sign)
    fitted = _isotonic(careful)
    centre = _differences(ratio(*(sums.sum(axis=1, keepdims=True) + lost)), sign)[0]
    bound = np.minimum(np.quantile(fitted, LEVEL, axis=0), _window_bound(careful, centre))
    last = len(score) - 1
    k = int(_first_after_all_exceed(bound[None], margin)[0])
    own = np.quantile(_first_after_all_exceed(fitted, margin), (LEVEL, 1 - LEVEL), method="nearest").astype(int)
    differs = ((numerator != numerator[:, -1:]) | (denominator != denominator[:, -1:])).mean(axis=0)[:-1]
    # What one item adds to the variance. For one question per image, right or wrong, and no real loss: the discordance.
    variance = len(numerator) * drawn.var(axis=0)[:-1]
    low_score, high_score = np.quantile(scores, (LEVEL, 1 - LEVEL), axis=0)
    return Curve(
        score=score,
        difference=difference,
        score_low=low_score,
        score_high=high_score,
        low=low,
        high=high,
        bound=bound,
        k=k if k < last else None,
        interval=(int(own[0]), max(k, int(own[1]))),
        margin=margin,
        items=len(numerator),
        clusters=sums.shape[1],
        discordance=float(differs[k:].max() if k < last else differs.min()),
        needed=max(
            items_needed(float(variance[k:].max() if k < last else variance.min()), margin),
            items_needed_without_change(share) if (share := margin * denominator[:, -1].mean() / unit) else 0,
        ),
        best_gain=float(difference[:-1].max()),
        best_gain_by_chance=by_chance,
    )


def items_needed(discordance: float, margin: float) -> int:
    """Items for 80 % power: n = d * (2.486 / delta)^2 (docs/method.md)."""
    return math.ceil(discordance * (POWER_FACTOR / margin) ** 2)


def items_needed_without_change(margin: float) -> int:
    """Items among which a change that `margin` of all items undergo shows at least once, in 95 % of samples."""
    return math.ceil(3 / margin)


def _differences(scores: Floats, sign: float) -> Floats:
    """D(K) of each row of scores: [rows L+1]."""
    return sign * (scores - scores[:, -1:])


def _unit(numerator: Floats) -> float:
    """Size of a change where an item changes; without any, of what an item can lose."""
    changes = np.abs(numerator - numerator[:, -1:])
    for sizes in (changes, np.abs(numerator)):
        if (sizes > 0).any():
            return float(sizes[sizes > 0].mean())
    return 1.0


def _lost_item(numerator: Floats, denominator: Floats, loss: float) -> Floats:
    """Numerator and denominator of an average item, but for a loss at every K below L: [2 1 L+1]."""
    row = np.stack([np.full(numerator.shape[1], each[:, -1].mean()) for each in (numerator, denominator)])
    row[0, :-1] -= loss
    return row[:, None]


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


def _window_bound(drawn: Floats, centre: Floats) -> Floats:
    """Lower bound of D at each K from the averages over K' = i..K, for every i: [L+1]; 0 at L.

    Args:
        drawn: [B L+1] differences of the draws.
        centre: [L+1] the same of what is drawn from.
    """
    bound = np.zeros(len(centre))
    for k in range(len(centre) - 1):
        length = np.arange(1, k + 2)
        average = centre[k::-1].cumsum() / length
        below = average - drawn[:, k::-1].cumsum(axis=1) / length
        spread = below.std(axis=0)
        scaled = np.divide(below, spread, out=np.zeros_like(below), where=spread > 0)
        bound[k] = (average - np.quantile(scaled.max(axis=1), 1 - LEVEL) * spread).max()
    return bound


def _first_after_all_exceed(curves: Floats, margin: float) -> NDArray[np.int64]:
    """Smallest K such that the curve exceeds -margin there and ever after: [curves]; L where only the last one does."""
    good = curves > -margin
    good[:, -1] = True
    # Counted from the end: how many in a row are good.
    run = np.cumprod(good[:, ::-1], axis=1).sum(axis=1)
    return np.asarray(curves.shape[1] - run, dtype=np.int64)
