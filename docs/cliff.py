"""Checks the data set's cliff where the truth is known, and writes docs/cliff.md: `python docs/cliff.py`.

Each case is a made-up benchmark, drawn many times: a true loss for every K, and around it items that differ from the
whole model, as many for the better as for the worse where there is no loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from flowtui.engine import noninferiority as rule
from flowtui.engine._clusters import draw as draw_again
from flowtui.engine._clusters import ratio, sum_clusters

LAYERS = 32
K = np.arange(LAYERS + 1)
RIGHT = 0.85
"""What the whole model gets right; of the captions' mentions, what is there."""
MENTIONS = 7
SKIPPED = 0.05
"""Part of a caption's mentions that the caption at a K leaves out."""

Floats = NDArray[np.float64]

HEADER = """\
# The cliff of a data set, where the truth is known

Written by `python docs/cliff.py`. The rule is `engine/noninferiority.py`'s (docs/method.md, "Cliff"): cluster bootstrap
by image, isotonic fit, lower {level:g} % bound, margin of {margin:g} point, and the guard that its docstring explains.
Each case is a made-up benchmark of {layers} layers, drawn {draws} times, {replicates} replicates each. From the cliff
on the given part of the items ({differing:g} % if not said) differs from the whole model, as many for the better as for
the worse; with "kept" the same items tend to differ at neighbouring K, as they do in a real model, without it each K
draws its own.

- usual: the setting that docs/method.md names. The loss is 1.2 points at K = 19 and grows by a third with each K
  below; 0.5 at the cliff, K = 20, 0.2 at 21, then none.
- step: a loss of 2 points at K = 19, growing by 1 point with each K below; none from 20 on.
- gentle: half a point per K around the margin.
- edge: 1 point, just too much, all the way from K = 10 to 19; none from 20 on. The worst case for the level.
- rare: nothing differs but what is lost: 1 point below K = 20, nothing from there on.
- none: 1.5 points lost up to the last layer.
- captions: CHAIR_i of {captions} captions, a ratio of sums whose numbers of mentions differ with K; the loss is that of
  "usual".

"Early" is a cliff before the true one: the error that the rule must keep at or below {level:g} %. "Covered": the
interval holds the true cliff, meant for {interval:g} %. Beside it, how often others are early: the isotonic fit without
the guard, a knee finder (largest distance from the chord, Kneedle) and the change point of two constants by least
squares. With {draws} draws, a rate of 5 % is known to +-{error:.1f} (one standard error).

| case | items | images | cliff | found, 10-90 % | median error | early | none | covered | unguarded | knee | change |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
SECOND = """
The guard costs little where there are items enough, and a late cliff or none where there are not: of the two errors, it
is the one that claims nothing.

The other statements. "Bands": the simultaneous bands hold the true difference at every K, meant for
{interval:g} %; they are too narrow where a K's loss is a handful of items ("rare": four of 400), which is why the cliff
does not rest on them. "Score": the interval of the score at the cliff that was found holds the true score there, meant
for {interval:g} %. "Gain": some K is called better than the whole model, though none is: at most {level:g} %. "Power":
items for 80 % power at a K without loss, as the sweeps' own statement gives it (median).

| case | bands | score | gain | power |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One made-up benchmark.

    Attributes:
        name: Of the row.
        items: How many; captions for CHAIR.
        per_image: Items on one image.
        truth: [L+1] true difference from the whole model, a part of 1.
        differing: Part of the items that differ without a loss.
        kept: Correlation of what differs at neighbouring K.
        captions: A ratio of sums, lower is better.
    """

    name: str
    items: int
    per_image: int
    truth: Floats
    differing: float = 0.04
    kept: float = 0.0
    captions: bool = False

    @property
    def cliff(self) -> int:
        """The true cliff; L for none."""
        bad = np.flatnonzero(self.truth[:-1] <= -rule.MARGIN)
        return int(bad[-1]) + 1 if len(bad) else 0


def _below(cliff: Sequence[float], loss: Floats) -> Floats:
    """Losses below K = 20, in points, then the given ones, then none."""
    made = np.zeros(LAYERS + 1)
    made[:20] = loss[:20]
    made[20 : 20 + len(cliff)] = cliff
    return -np.minimum(made, 35) / 100


USUAL = _below([0.5, 0.2], 1.2 * 1.33 ** (19.0 - K))
STEP = _below([], 2.0 + (19 - K))
GENTLE = _below([0.6, 0.1], 1.1 + 0.5 * (19.0 - K))
EDGE = _below([], np.where(K < 10, 30.0, 1.0))
RARE = _below([], np.ones(LAYERS + 1))
NONE = np.where(K < LAYERS, np.minimum(STEP, -0.015), 0.0)

CASES = (
    Case("usual", 3000, 1, USUAL),
    Case("usual, 6 per image", 3000, 6, USUAL),
    Case("usual, kept", 3000, 6, USUAL, kept=0.9),
    Case("usual, 10 % differ", 3000, 6, USUAL, differing=0.10),
    Case("usual, few", 500, 1, USUAL),
    Case("step", 3000, 6, STEP),
    Case("gentle, kept", 3000, 6, GENTLE, kept=0.9),
    Case("edge", 3000, 6, EDGE),
    Case("edge, kept", 3000, 6, EDGE, kept=0.9),
    Case("rare, few", 400, 1, RARE, differing=0.0),
    Case("none", 3000, 6, NONE),
    Case("captions, kept", 500, 1, USUAL, kept=0.9, captions=True),
)


def draw(case: Case, rng: np.random.Generator) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Numerators and denominators [items L+1] and images [items] of one draw; one image's items are alike in part."""
    mentions = 1 + rng.poisson(MENTIONS - 1, case.items) if case.captions else np.ones(case.items, dtype=int)
    item = np.repeat(np.arange(case.items), mentions)
    image = item // case.per_image
    ease = rng.normal(size=image[-1] + 1)[image] + rng.normal(size=len(item))
    full = ease > ndtri(1 - RIGHT) * np.sqrt(2)
    noise = rng.normal(size=(len(item), LAYERS + 1))
    for k in range(1, LAYERS + 1):
        noise[:, k] = case.kept * noise[:, k - 1] + np.sqrt(1 - case.kept**2) * noise[:, k]
    change = np.maximum(case.differing, -case.truth)
    lost = ndtr(noise) < (change - case.truth) / 2 / RIGHT
    won = ndtr(noise) < (change + case.truth) / 2 / (1 - RIGHT)
    right = np.where(full[:, None], ~lost, won)
    right[:, -1] = full
    if not case.captions:
        return right.astype(np.float64), np.ones((case.items, 1)), image
    said = rng.random(right.shape) >= SKIPPED
    said[:, -1] = True
    ends = np.flatnonzero(np.diff(item, prepend=-1))
    wrong, all_of = (np.add.reduceat(each, ends, axis=0, dtype=np.float64) for each in (said & ~right, said))
    return wrong, all_of, np.arange(case.items)


def unguarded(numerator: Floats, denominator: Floats, images: NDArray[np.int64], case: Case, replicates: int) -> int:
    """The cliff by the isotonic fit alone."""
    sums = sum_clusters(numerator, np.broadcast_to(denominator, numerator.shape), images)
    drawn = rule._differences(ratio(*draw_again(sums, replicates, 0)), -1.0 if case.captions else 1.0)
    bound = np.quantile(rule._isotonic(drawn), rule.LEVEL, axis=0)
    return int(rule._first_after_all_exceed(bound[None], rule.MARGIN)[0])


def knee(difference: Floats) -> int:
    """The K farthest above the chord from first to last point (Satopaa et al. 2011)."""
    chord = difference[0] + (difference[-1] - difference[0]) * K / LAYERS
    return int((difference - chord).argmax())


def change_point(difference: Floats) -> int:
    """The K from which on the second of two constants holds that fit best by least squares."""
    costs = [
        len(difference[:k]) * difference[:k].var() + len(difference[k:]) * difference[k:].var()
        for k in range(1, LAYERS + 1)
    ]
    return 1 + int(np.argmin(costs))


def rows(case: Case, draws: int, replicates: int) -> tuple[str, str]:
    """The case's line in each table."""
    found, others, needed = [], [], []
    covered = bands = score = gain = 0
    true_score = (1 - RIGHT) - case.truth if case.captions else RIGHT + case.truth
    for i in range(draws):
        numerator, denominator, images = draw(case, np.random.default_rng((1, i)))
        curve = rule.find_curve(
            numerator, denominator, images, seed=i, replicates=replicates, lower_is_better=case.captions
        )
        k = LAYERS if curve.k is None else curve.k
        found.append(k)
        needed.append(curve.needed)
        alone = unguarded(numerator, denominator, images, case, replicates)
        others.append([alone, knee(curve.difference), change_point(curve.difference)])
        covered += curve.interval[0] <= case.cliff <= curve.interval[1]
        bands += bool(((curve.low <= case.truth) & (case.truth <= curve.high))[:-1].all())
        score += curve.score_low[k] <= true_score[k] <= curve.score_high[k]
        gain += curve.best_gain > curve.best_gain_by_chance
    ks = np.array(found)
    low, high = np.quantile(ks, (0.1, 0.9), method="nearest")
    first = [
        case.name, case.items, case.items // case.per_image, "none" if case.cliff == LAYERS else case.cliff,
        f"{low}-{high}", f"{np.median(ks - case.cliff):+g}", f"{100 * (ks < case.cliff).mean():.1f} %",
        f"{100 * (ks == LAYERS).mean():.1f} %", f"{100 * covered / draws:.0f} %",
        *(f"{100 * early:.0f} %" for early in (np.array(others) < case.cliff).mean(axis=0)),
    ]  # fmt: skip
    shares = [f"{100 * part / draws:.0f} %" for part in (bands, score, gain)]
    return _line(first), _line([case.name, *shares, f"{np.median(needed):.0f}"])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main() -> None:
    """Writes the tables."""
    parser = argparse.ArgumentParser(description="Simulate the data set's cliff.")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--replicates", type=int, default=rule.REPLICATES)
    parser.add_argument("--case", help="only the cases whose name holds this; writes nothing")
    parser.add_argument("--into", type=Path, default=Path(__file__).with_name("cliff.md"))
    options = parser.parse_args()
    words = {
        "level": 100 * rule.LEVEL, "interval": 100 - 200 * rule.LEVEL, "margin": 100 * rule.MARGIN, "layers": LAYERS,
        "draws": options.draws, "replicates": options.replicates, "captions": CASES[-1].items,
        "differing": 100 * CASES[0].differing,
        "error": 100 * (0.05 * 0.95 / options.draws) ** 0.5,
    }  # fmt: skip
    first, second = HEADER.format(**words), SECOND.format(**words)
    for case in CASES:
        if options.case is None or options.case in case.name:
            lines = rows(case, options.draws, options.replicates)
            print("".join(lines), end="", flush=True)
            first, second = first + lines[0], second + lines[1]
    if options.case is None:
        options.into.write_text(first + second, "utf-8")


if __name__ == "__main__":
    main()
