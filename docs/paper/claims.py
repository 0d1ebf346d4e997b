"""What the paper says, and what came out: each claim judged by a rule that is written beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import theirs
from .findings import Aim, Blind, Halves, halves, lowest, row_of, trait_mean

GROUPS = ("system", "image", "user")
GUESS = (1 / 2 + 1 / 3 + 1 / 4) / 3
"""Two, three or four options, equally often."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim.

    Attributes:
        where: Figure or table of the paper.
        paper: What the paper says.
        here: What came out.
        rule: What counts as agreement.
        holds: Whether it does.
    """

    where: str
    paper: str
    here: str
    rule: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Results:
    """All that the page is made from.

    Attributes:
        layers, image_tokens: Of the model, L and how many.
        flows: Data set -> flow into the answer by group, [L] each.
        shares: Data set -> share of attention by group, [L] each.
        aims: Data set -> how well the CAM hits the thing asked about.
        blind: The run whose question needs no picture.
        sweeps: Contents by name.
        flat: Sweep -> items for which the picture does not matter.
    """

    layers: int
    image_tokens: int
    flows: Mapping[str, Mapping[str, Sequence[float]]]
    shares: Mapping[str, Mapping[str, Sequence[float]]]
    aims: Mapping[str, Aim]
    blind: Mapping[str, Any]
    sweeps: Mapping[str, Any]
    flat: Mapping[str, Blind]

    def cliff(self, sweep: str) -> int | None:
        """The cliff of a data set's first metric in Table 1."""
        line = next(line for line in theirs.TABLE if line.sweep == sweep)
        found = row_of(self.sweeps[sweep], line.own)["cliff"]
        return None if found is None else int(found)

    def trait(self, name: str) -> list[float | None]:
        """A trait's mean over the items that have it, by layer."""
        return trait_mean(self.sweeps["strategies"]["traits"], name)


def judge(results: Results) -> list[Claim]:
    """All claims, in the order of the paper."""
    return [
        _shallow_flow(results),
        _deep_flow(results),
        _share_falls(results),
        _share_is_lowest(results),
        _share_rises_at_last(results),
        _cam_of_choice(results),
        _cam_of_others(results),
        _cliffs(results),
        _order(results),
        _no_loss(results),
        _no_picture_needed(results),
        _prior_alone(results),
    ]


def flow_halves(flows: Mapping[str, Sequence[float]]) -> dict[str, Halves]:
    """Group -> mean flow into the answer in each half."""
    return {group: halves(flows[group]) for group in GROUPS}


def _shallow_flow(results: Results) -> Claim:
    made = [flow_halves(flows) for flows in results.flows.values()]
    counts = {group: sum(each[group].falls for each in made) for group in GROUPS}
    here = f"larger in the shallow half: {', '.join(f'{g} in {n} of {len(made)} questions' for g, n in counts.items())}"
    return Claim(
        "Figure 1",
        "system, image and user tokens flow into the answer in the shallow layers",
        here,
        "each group's mean flow is larger in the shallow half, for every question",
        all(count == len(made) for count in counts.values()),
    )


def _deep_flow(results: Results) -> Claim:
    made = [flow_halves(flows) for flows in results.flows.values()]
    count = sum(each["image"].deep < min(each["system"].deep, each["user"].deep) for each in made)
    return Claim(
        "Figure 1",
        "in the deep layers system and user tokens flow much more than image tokens",
        f"in the deep half the image's flow is the smallest of the three for {count} of {len(made)} questions",
        "the image's mean flow in the deep half is below system's and user's, for every question",
        count == len(made),
    )


def _share_falls(results: Results) -> Claim:
    share = results.trait("attention.image_share")
    to = share_early(results.layers)
    first, early = share[0] or 0.0, share[to] or 0.0
    return Claim(
        "Figure 2A",
        "the image's share of attention falls fast in layers 1-5 of 32",
        f"{percent(first)} in layer 0, {percent(early)} in layer {to}, mean of {_traced(results)} items",
        f"in layer {to}, as deep as the paper's 5th, it is less than half of layer 0's",
        early < first / 2,
    )


def share_early(layers: int) -> int:
    """The layer that lies as deep as the paper's fifth of 32."""
    return -(-theirs.EARLY_LAYERS * layers // theirs.LAYERS)


def _share_is_lowest(results: Results) -> Claim:
    found = {like: lowest(share) for like, share in results.shares.items()}
    counts = [f"{count} of {results.layers} ({like}-like)" for like, count in found.items()]
    return Claim(
        "Figure 2A",
        "between them the image has much less attention than system and user tokens",
        f"layers in which it has less than both: {', '.join(counts)}",
        "it has less than both in more than half of the layers, for every question",
        all(2 * count > results.layers for count in found.values()),
    )


def _share_rises_at_last(results: Results) -> Claim:
    share = results.trait("attention.image_share")
    late, last = share[-2] or 0.0, share[-1] or 0.0
    return Claim(
        "Figure 2A",
        "the image's share rises in the last layer",
        f"{percent(late)} in the last but one, {percent(last)} in the last, mean of {_traced(results)} items",
        "the last layer's share is the larger one",
        last > late,
    )


def _cam_of_choice(results: Results) -> Claim:
    aim = results.aims["ScienceQA"]
    mass = halves(aim.mass)
    return Claim(
        "Figure 3",
        "ScienceQA: the map converges on the right region in early layers and spreads in deep ones",
        f"heat in the thing's box: {percent(mass.shallow)} in the shallow half, {percent(mass.deep)} in the deep half; "
        f"an even map has {percent(aim.box)}",
        "the shallow half has more in the box than the deep half, and at least twice what an even map has",
        mass.shallow >= 2 * aim.box and mass.falls,
    )


def _cam_of_others(results: Results) -> Claim:
    aims = {like: results.aims[like] for like in ("POPE", "TextVQA")}
    parts = [f"{like}-like: in {aim.above} of {aim.maps} layers" for like, aim in aims.items()]
    return Claim(
        "Figure 4",
        "POPE and TextVQA: the map lies on the right region from the first layer to the cliff",
        f"more heat in the thing's box than an even map has: {', '.join(parts)}",
        "so it is in every layer before the run's own cliff, for both",
        all(aim.always_before_cliff for aim in aims.values()),
    )


def _cliffs(results: Results) -> Claim:
    cliffs = {sweep: results.cliff(sweep) for sweep in theirs.ORDER}
    return Claim(
        "Figure 5",
        "every data set has a cliff, after which cutting the image costs nothing",
        _listed(cliffs, results.layers),
        "each sweep's K is below L at a margin of one point",
        all(k is not None for k in cliffs.values()),
    )


def _order(results: Results) -> Claim:
    cliffs = {sweep: results.cliff(sweep) for sweep in theirs.ORDER}
    known = [results.layers if k is None else k for k in cliffs.values()]
    return Claim(
        "Figure 5",
        "the more complex the task, the earlier: ScienceQA 12, TextVQA 18, POPE 22, captions about 30",
        _listed(cliffs, results.layers),
        "the four K ascend in this order",
        all(a < b for a, b in pairwise(known)),
    )


def _no_loss(results: Results) -> Claim:
    rows = [row_of(results.sweeps[line.sweep], line.own) for line in theirs.TABLE]
    found = [row for row in rows if row["cliff"] is not None]
    kept = [row for row in found if not _worse(row)]
    better = [row for row in rows if _gains(row)]
    return Claim(
        "Table 1",
        "at the cliff every score equals the untouched model's or is better",
        f"so in {len(kept)} of the {len(found)} rows with a cliff (of {len(rows)}); a gain at any K beyond what the "
        f"best of all K reaches by chance: in {len(better)}",
        "no row without a cliff, none with a lower score there",
        len(kept) == len(rows),
    )


def _worse(row: Mapping[str, Any]) -> bool:
    change = row["at_cliff"] - row["baseline"]
    return bool(change > 0 if row["lower_is_better"] else change < 0)


def _gains(row: Mapping[str, Any]) -> bool:
    """Whether some K is better than chance explains, which flowtui says in words.

    Raises:
        ValueError: It says so in other words.
    """
    less, more = (words in row["gain_verdict"] for words in (": no more than", ": more than"))
    if less == more:
        raise ValueError(f"this says neither gain nor chance: {row['gain_verdict']}")
    return more


def _no_picture_needed(results: Results) -> Claim:
    curve, cliff = results.blind["truncation"], results.blind["cliff"]["k"]
    same = sum(bool(each) for each in curve["same_answer"])
    return Claim(
        "Figure 9",
        "a question that knowledge alone answers does not use the image",
        f"same answer at {same} of {len(curve['k'])} K, largest KL {max(curve['kl']):.4f} nats, "
        + ("no cliff" if cliff is None else f"cliff at K = {cliff}"),
        "the run's own cliff is K = 0",
        cliff == 0,
    )


def _prior_alone(results: Results) -> Claim:
    row = row_of(results.sweeps["scienceqa"], "scienceqa.image_accuracy")
    low, high = row["score_low"][0], row["score_high"][0]
    return Claim(
        "Appendix A.2",
        f"without any image token {theirs.BLIND:g} % of ScienceQA is still answered right, from knowledge",
        f"{percent(row['score'][0])} at K = 0 ({percent(low)} to {percent(high)}); guessing gives {percent(GUESS)}",
        "the interval lies above guessing",
        low > GUESS,
    )


def _listed(cliffs: Mapping[str, int | None], layers: int) -> str:
    names = {line.sweep: line.like for line in theirs.TABLE}
    found = (f"{names[s]}-like {'none' if k is None else f'K = {k}'}" for s, k in cliffs.items())
    return f"{', '.join(found)} of {layers}"


def _traced(results: Results) -> int:
    return sum(results.sweeps["strategies"]["traits"]["items"].values())


def percent(part: float) -> str:
    """As the page writes a part of one."""
    return f"{100 * part:.1f} %"
