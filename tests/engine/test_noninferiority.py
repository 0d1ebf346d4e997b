"""The data set's cliff against hand-worked cases, a slow bootstrap and known truth."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from flowtui.engine.noninferiority import find_curve, items_needed
from flowtui.errors import UsageError

ONE = np.ones((1, 1))


def scores(
    cliff: int, layers: int = 12, images: int = 200, per: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong: 80 % from the cliff on, 40 % before, the same items wrong at every K after it."""
    rng = np.random.default_rng(seed)
    right = rng.random(images * per) < 0.8
    made = np.repeat(right[:, None], layers + 1, 1).astype(float)
    made[:, :cliff] *= rng.random((images * per, cliff)) < 0.5
    return made, np.repeat(np.arange(images), per)


def test_a_clear_cliff_is_found_where_it_is() -> None:
    made, images = scores(7)
    curve = find_curve(made, np.ones_like(made), images)
    assert curve.k == 7
    assert curve.interval == (7, 7)
    assert (curve.items, curve.clusters) == (600, 200)
    np.testing.assert_allclose(curve.score, made.mean(0))
    np.testing.assert_allclose(curve.difference, made.mean(0) - made[:, -1].mean())
    assert curve.discordance == 0
    assert "From K = 7 on" in curve.verdict


def test_without_any_difference_the_image_is_never_needed() -> None:
    made, images = scores(0)
    assert find_curve(made, np.ones_like(made), images).k == 0


def test_a_loss_up_to_the_last_layer_is_no_cliff() -> None:
    made, images = scores(12)
    curve = find_curve(made, np.ones_like(made), images)
    assert curve.k is None
    assert "No cliff" in curve.verdict


def test_too_few_items_certify_nothing_and_say_so() -> None:
    rng = np.random.default_rng(0)
    right = rng.random((60, 1)) < 0.8
    made = np.repeat(right, 13, 1).astype(float)
    # At every K other items are right and wrong, as many either way: no real loss, but not certain with sixty.
    for k in range(12):
        swap = rng.choice(60, 4, replace=False)
        made[swap, k] = 1 - made[swap, k]
    curve = find_curve(made, np.ones_like(made), np.arange(60))
    assert curve.k is None
    assert "60 items are too few to certify any K" in curve.verdict
    # The smallest variance of an item's difference decides; four of sixty differ, up to how the draws spread.
    assert curve.needed == pytest.approx(items_needed(4 / 60, 0.01), rel=0.2)
    # n = d * (2.486 / delta)^2, docs/method.md: 4 %, 1 point.
    assert items_needed(0.04, 0.01) == 2473


def test_a_sample_that_may_miss_a_loss_certifies_nothing_however_alike_its_items_are() -> None:
    """Nothing differs in the sample. A loss of 1 point shows in 95 % of samples of 300, and in 78 % of 150."""
    for items, k in ((150, None), (320, 0)):
        same = np.ones((items, 7))
        curve = find_curve(same, np.ones_like(same), np.arange(items))
        assert (curve.k, curve.needed) == (k, 300)
        assert ("too few" in curve.verdict) == (k is None)


def test_images_are_drawn_whole() -> None:
    """Ten copies of each image's item are no more evidence than one: the bands stay as wide."""
    rng = np.random.default_rng(1)
    made = (rng.random((150, 5)) < 0.7).astype(float)
    once = find_curve(made, np.ones_like(made), np.arange(150), seed=3)
    copies = find_curve(np.repeat(made, 10, 0), np.ones((1500, 5)), np.repeat(np.arange(150), 10), seed=3)
    np.testing.assert_allclose(copies.high - copies.low, once.high - once.low)
    apart = find_curve(np.repeat(made, 10, 0), np.ones((1500, 5)), np.arange(1500), seed=3)
    # A tenth of the variance: about a third of the width.
    assert ((apart.high - apart.low)[:-1] < 0.5 * (once.high - once.low)[:-1]).all()


def draws_of(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn."""
    rng = np.random.default_rng(seed)
    return np.array([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(replicates)])


def pooled(row: np.ndarray) -> np.ndarray:
    """Pool adjacent violators, the slow way: the largest minimum of means."""
    n = len(row)
    return np.array([max(min(row[i : j + 1].mean() for j in range(k, n)) for i in range(k + 1)) for k in range(n)])


def test_bands_and_bound_equal_a_slow_bootstrap() -> None:
    rng = np.random.default_rng(2)
    wrong, all_of = rng.integers(0, 3, (40, 4)).astype(float), rng.integers(3, 6, (40, 4)).astype(float)
    images = np.repeat(np.arange(20), 2)
    curve = find_curve(wrong, all_of, images, replicates=200, seed=5, lower_is_better=True, margin=0.2)
    changes = [abs(w - row[-1]) for row in wrong for w in row if w != row[-1]]
    extra = np.full(4, wrong[:, -1].mean())
    extra[:3] += np.mean(changes)
    times = np.random.default_rng((5, 1)).poisson(1, (1, 200, 1)).ravel()
    scores, slow, careful = [], [], []
    for draw, lost_items in zip(draws_of(20, 200, 5), times, strict=True):
        chosen = [i for image, n in enumerate(draw) for _ in range(n) for i in np.flatnonzero(images == image)]
        above, below = wrong[chosen].sum(0), all_of[chosen].sum(0)
        scores.append(above / below)
        slow.append(-(above / below - above[-1] / below[-1]))
        ratio = (above + lost_items * extra) / (below + lost_items * all_of[:, -1].mean())
        careful.append(-(ratio - ratio[-1]))
    np.testing.assert_allclose(curve.score_low, np.quantile(scores, 0.05, axis=0))
    np.testing.assert_allclose(curve.score_high, np.quantile(scores, 0.95, axis=0))
    deviation = np.array(slow) - curve.difference
    spread = deviation.std(0)
    scaled = np.abs(deviation[:, :-1]) / spread[:-1]
    reach = np.quantile(scaled.max(1), 0.9)
    np.testing.assert_allclose(curve.high[:-1] - curve.difference[:-1], reach * spread[:-1])

    isotonic = np.quantile([pooled(row) for row in careful], 0.05, axis=0)
    ratio = (wrong.sum(0) + extra) / (all_of.sum(0) + all_of[:, -1].mean())
    centre, guard = -(ratio - ratio[-1]), [0.0] * 4
    for k in range(3):
        average = [centre[i : k + 1].mean() for i in range(k + 1)]
        below = np.array([[average[i] - row[i : k + 1].mean() for i in range(k + 1)] for row in np.array(careful)])
        worst = np.quantile((below / below.std(0)).max(1), 0.95)
        guard[k] = max(average - worst * below.std(0))
    np.testing.assert_allclose(curve.bound, np.minimum(isotonic, guard), atol=1e-12)


def test_a_long_stretch_just_below_the_margin_is_not_taken_for_the_cliff() -> None:
    """The worst case for the isotonic fit, which alone is early here in 6 of 20 draws."""
    early = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        right = rng.random(3000) < 0.85
        made = np.repeat(right[:, None], 25, 1).astype(float)
        for k in range(24):
            # 2 % for the worse and 2 % for the better, and before the cliff 1 % more for the worse.
            change = rng.random(3000)
            made[right & (change < (0.02 + 0.0101 * (k < 14)) / 0.85), k] = 0
            made[~right & (change < 0.02 / 0.15), k] = 1
        curve = find_curve(made, np.ones((3000, 1)), np.arange(3000), seed=seed, replicates=200)
        early += (24 if curve.k is None else curve.k) < 14
    assert early <= 2


def test_the_interval_holds_the_cliff_that_was_found() -> None:
    made, images = scores(5, images=300)
    rng = np.random.default_rng(4)
    swap = rng.random(made.shape) < 0.02
    swap[:, -1] = False
    curve = find_curve(np.where(swap, 1 - made, made), np.ones_like(made), images, margin=0.02)
    last = made.shape[1] - 1
    assert curve.interval[0] <= 5 <= curve.interval[1]
    assert curve.interval[1] >= (last if curve.k is None else curve.k)


def test_a_real_gain_is_told_from_the_best_of_many() -> None:
    made, images = scores(3, images=1000)
    better = made.copy()
    better[:, 6] = np.maximum(made[:, 6], np.random.default_rng(9).random(len(made)) < 0.3)
    assert "no more than" in find_curve(made, np.ones_like(made), images).gain_verdict
    gain = find_curve(better, np.ones_like(made), images)
    assert gain.best_gain > gain.best_gain_by_chance
    assert "(6) gains" in gain.gain_verdict
    # The isotonic fit hides the gain; the raw bands show it.
    assert gain.low[6] > 0


@pytest.mark.parametrize(
    ("shape", "clusters", "margin"), [((0, 5), 0, 0.01), ((3, 1), 3, 0.01), ((3, 5), 2, 0.01), ((3, 5), 3, 0.0)]
)
def test_what_is_no_sweep_is_refused(shape: tuple[int, int], clusters: int, margin: float) -> None:
    with pytest.raises(UsageError):
        find_curve(np.zeros(shape), ONE, np.arange(clusters), margin=margin)


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="numbers"):
        find_curve(np.array([[0.0, np.nan]]), ONE, np.arange(1))


def test_a_whole_model_that_says_nothing_to_count_has_a_curve() -> None:
    """A caption without a mention, where the one at K = 0 has one: CHAIR's denominators are 0 at K = L alone."""
    numerator, denominator = np.zeros((7, 5)), np.zeros((7, 5))
    denominator[:, 0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        curve = find_curve(numerator, denominator, np.arange(7), lower_is_better=True)
    assert curve.score[-1] == 0
    assert curve.needed >= 0
