"""Checks the data set's cliff where the truth is known, and writes docs/cliff.md: `python docs/cliff.py`.

Each row is a made-up benchmark, drawn many times: accuracy over K that rises to its plateau at the true cliff, where
from then on a given part of the items differs from the whole model, as many for the better as for the worse.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.noninferiority import MARGIN, find_curve

LAYERS = 32
HEADER = """\
# The cliff of a data set, where the truth is known

Written by `python docs/cliff.py`. The rule is `engine/noninferiority.py`'s (docs/method.md, "Cliff"): cluster bootstrap
by image, isotonic fit, lower 5 % bound, margin of {margin:g} points. Each row is a made-up benchmark of {layers}
layers, drawn {draws} times: below the true cliff accuracy falls towards K = 0 by a straight line, first by the given
step; from the cliff on the given part of the items differs from the whole model, as many for the better as for the
worse. "Early" is a cliff before the true one: the error that the rule must keep at or below 5 %. "Covered": the
interval holds the true cliff.

| items | images | true cliff | step | differing | found, 10-90 % | median error | early | none | covered |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One made-up benchmark: items, items per image, true cliff (None: none), step in points, part that differs."""

    items: int
    per_image: int
    cliff: int | None
    step: float
    differing: float


CASES = (
    Case(3000, 6, 20, 2.0, 0.04),
    Case(3000, 6, 20, 1.2, 0.04),
    Case(3000, 6, 12, 2.0, 0.02),
    Case(3000, 1, 20, 2.0, 0.04),
    Case(3000, 6, 20, 2.0, 0.10),
    Case(1000, 2, 20, 2.0, 0.04),
    Case(500, 1, 20, 2.0, 0.04),
    Case(3000, 6, None, 2.0, 0.04),
)


def draw(case: Case, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores [items L+1] and images [items] of one draw. Items of one image are right or wrong together in part."""
    images = np.arange(case.items) // case.per_image
    easy = rng.normal(size=images[-1] + 1)[images] + rng.normal(size=case.items)
    full = easy > np.quantile(easy, 0.15)
    made = np.empty((case.items, LAYERS + 1))
    cliff = LAYERS if case.cliff is None else case.cliff
    for k in range(LAYERS + 1):
        right = full.copy()
        if k < LAYERS:
            swap = rng.random(case.items)
            # As many right answers turn wrong as wrong ones right.
            right[full] = swap[full] >= case.differing / 2 / full.mean()
            right[~full] = swap[~full] < case.differing / 2 / (1 - full.mean())
        if k < cliff:
            lost = (case.step + (cliff - 1 - k)) / 100 / full.mean()
            right &= rng.random(case.items) >= lost
        made[:, k] = right
    return made, images


def row(case: Case, draws: int, seed: int) -> str:
    """One line of the table."""
    found, covered = [], 0
    truth = LAYERS if case.cliff is None else case.cliff
    for i in range(draws):
        rng = np.random.default_rng((seed, i))
        scores, images = draw(case, rng)
        curve = find_curve(scores, np.ones((case.items, 1)), images, seed=i)
        found.append(LAYERS if curve.k is None else curve.k)
        covered += curve.interval[0] <= truth <= curve.interval[1]
    ks = np.array(found)
    low, high = np.quantile(ks, (0.1, 0.9), method="nearest")
    parts = [
        case.items, case.items // case.per_image, "none" if case.cliff is None else case.cliff, f"{case.step:g}",
        f"{100 * case.differing:g} %", f"{low}-{high}", f"{np.median(ks - truth):+g}",
        f"{100 * (ks < truth).mean():.1f} %", f"{100 * (ks == LAYERS).mean():.1f} %", f"{100 * covered / draws:.0f} %",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, parts)) + " |\n"


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description="Simulate the data set's cliff.")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path(__file__).with_name("cliff.md"))
    options = parser.parse_args()
    text = HEADER.format(margin=100 * MARGIN, layers=LAYERS, draws=options.draws)
    for case in CASES:
        text += row(case, options.draws, options.seed)
        print(text.splitlines()[-1], flush=True)
    options.into.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
