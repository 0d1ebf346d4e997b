"""Checks the KL screen where the truth is known, and writes docs/klscreen.md: `python docs/klscreen.py`.

Each case is a made-up sweep, drawn many times: how often an answer changes is a known function of its KL.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from flowtui.engine import klscreen as screen
from flowtui.engine.noninferiority import LEVEL

LAYERS = 32
MANY = 200_000
"""Items of the draw that the true rates are counted on."""

Floats = NDArray[np.float64]

HEADER = """\
# The KL screen, where the truth is known

Written by `python docs/klscreen.py`. The rule is `engine/klscreen.py`'s: of the thresholds {etas} nats the largest one
up to which at most {tolerance:g} % of the answers at or below it change, for certain at {level:g} %, drawn by image.
Each case is a made-up sweep of {layers} layers, drawn {draws} times. An item's KL falls from layer to layer, by a part
that its image's items share; whether its answer changes depends on that KL, by images again.

- usual: an answer changes with probability 1/2 at 0.1 nats, with 1 % at 0.01.
- sharp: below 0.05 nats nothing changes.
- edge: {edge:g} % change at any KL below 0.2 nats: just too many, so that every threshold would be wrong.
- moody: as "usual", but a tenth of the images change at a tenth of the KL.
- blind: the KL says nothing; 5 % change whatever it is.

"Right" is the largest threshold up to which the true rate is within {tolerance:g} %. "Wrong" is how often the threshold
that was chosen lets more than that through: the error that the rule must keep at or below {level:g} %.

| case | items | images | right | chosen, 10-90 % | none | wrong |
| --- | --- | --- | --- | --- | --- | --- |
"""
EDGE = 0.0125


@dataclass(frozen=True, slots=True)
class Case:
    """One made-up sweep.

    Attributes:
        name: Of the row.
        items: How many.
        per_image: Items on one image.
        changes: Probability that an answer changes, of log10 KL and of a normal number that an image's items share.
    """

    name: str
    items: int
    per_image: int
    changes: Callable[[Floats, Floats], Floats]


def _usual(kl: Floats, image: Floats) -> Floats:
    return ndtr(((kl + 1) * 2.326 + 0.5 * image) * np.sqrt(1.25))


def _sharp(kl: Floats, image: Floats) -> Floats:
    return np.where(kl < np.log10(0.05), 0.0, 0.5)


def _edge(kl: Floats, image: Floats) -> Floats:
    return np.where(kl < np.log10(0.2), EDGE, 0.5)


def _moody(kl: Floats, image: Floats) -> Floats:
    return _usual(kl + (image > 1.2816), image)


def _blind(kl: Floats, image: Floats) -> Floats:
    return np.full_like(kl, 0.05)


CASES = (
    Case("usual", 3000, 6, _usual),
    Case("usual, one per image", 3000, 1, _usual),
    Case("usual, few", 300, 3, _usual),
    Case("sharp", 3000, 6, _sharp),
    Case("sharp, few", 100, 1, _sharp),
    Case("edge", 3000, 6, _edge),
    Case("edge, few", 300, 3, _edge),
    Case("moody", 3000, 6, _moody),
    Case("blind", 3000, 6, _blind),
)


def draw(case: Case, items: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """KL [items L+1], whether the answer stays, and images [items] of one draw."""
    image = np.arange(items) // case.per_image
    shared = rng.normal(size=(2, image[-1] + 1))[:, image]
    level = 0.5 * (shared[0] + rng.normal(size=items))
    log_kl = 0.5 + level[:, None] - 0.12 * np.arange(LAYERS + 1) + 0.15 * rng.normal(size=(items, LAYERS + 1))
    log_kl = log_kl.astype(np.float64)
    same = rng.random(log_kl.shape) >= case.changes(log_kl, shared[1][:, None])
    same[:, -1] = True
    kl = 10**log_kl
    kl[:, -1] = 0.0
    return kl, same, image


def true_rates(case: Case) -> Floats:
    """Part of the answers that change at or below each threshold."""
    kl, same, _ = draw(case, MANY, np.random.default_rng(0))
    kl, same = kl[:, :-1], same[:, :-1]
    return np.array([1 - same[kl <= eta].mean() if (kl <= eta).any() else 0.0 for eta in screen.ETAS_NATS])


def row(case: Case, draws: int, replicates: int) -> str:
    """The case's line."""
    rates = true_rates(case)
    within = int(np.cumprod(rates <= screen.TOLERANCE).sum())
    right = f"{screen.ETAS_NATS[within - 1]:g}" if within else "none"
    chosen = []
    for i in range(draws):
        found = screen.find_screen(
            *draw(case, case.items, np.random.default_rng((1, i))), replicates=replicates, seed=i
        )
        chosen.append(-1 if found.chosen is None else screen.ETAS_NATS.index(found.chosen))
    at = np.array(chosen)
    low, high = ("none" if n < 0 else f"{screen.ETAS_NATS[n]:g}" for n in np.quantile(at, (0.1, 0.9), method="nearest"))
    wrong = (at >= 0) & (rates[at] > screen.TOLERANCE)
    cells = (
        case.name, case.items, case.items // case.per_image, right, low if low == high else f"{low}-{high}",
        f"{100 * (at < 0).mean():.1f} %", f"{100 * wrong.mean():.1f} %",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |\n"


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description="Simulate the KL screen.")
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--into", type=Path, default=Path(__file__).with_name("klscreen.md"))
    options = parser.parse_args()
    text = HEADER.format(
        etas=", ".join(f"{eta:g}" for eta in screen.ETAS_NATS), tolerance=100 * screen.TOLERANCE, level=100 * LEVEL,
        layers=LAYERS, draws=options.draws, edge=100 * EDGE,
    )  # fmt: skip
    for case in CASES:
        text += (line := row(case, options.draws, options.replicates))
        print(line, end="", flush=True)
    options.into.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
