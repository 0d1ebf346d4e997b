"""docs/paper.md: a fixed text with the numbers of one run in it. No sentence about a result is written by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import steps
from .claims import GROUPS, Claim, Results, flow_halves, judge
from .findings import Aim, row_of
from .pictures import PANELS
from .theirs import LAYERS, TABLE

TEXT = Path(__file__).with_name("template.md").read_text("utf-8")
RECALL = ("chair", "chair.recall", "CHAIR-like: recall, %")
EVEN = 0.15
"""The top tenth's part below which a layer's attention is called nearly even."""


def page(results: Results, answers: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        results: Of one run.
        answers: Run -> the model's answer.

    Raises:
        ValueError: A number is missing.
    """
    claims = judge(results)
    asked = {each.name: each for each in steps.ASKED}
    told = {name: _question(each, answers[name]) for name, each in asked.items()}
    traits = results.sweeps["strategies"]["traits"]
    text = TEXT.format(
        layers=results.layers,
        image_tokens=results.image_tokens,
        paper_layers=LAYERS,
        agreed=sum(claim.holds for claim in claims),
        claims=len(claims),
        agreement=_agreement(claims),
        rules="\n".join(f"{i}. {claim.where}: {claim.rule}." for i, claim in enumerate(claims, 1)),
        choice=f"A ScienceQA-like question: {told['scienceqa-run']}",
        choice_short=told["scienceqa-run"],
        presence_short=told["pope-run"],
        letter_short=told["textvqa-run"],
        flow=_flow(results),
        traced=sum(traits["items"].values()),
        traits=_traits(results),
        even_words=_even_words(results),
        aims=_aims(results),
        aim_words="\n".join(f"- {_aim_words(like, aim)}" for like, aim in results.aims.items()),
        curves=_curves([(title, row_of(results.sweeps[sweep], metric)) for sweep, metric, title in (*PANELS, RECALL)]),
        table=_table(results),
        verdicts=_verdicts(results),
        strategy_items=results.sweeps["strategies"]["items"],
        strategies=_curves([(row["cut"], row) for row in _strategies(results)]),
        strategy_words=_strategy_words(results),
        blind=told["blind-run"],
        blind_words=next(f"Here: {claim.here}." for claim in claims if claim.where == "Figure 9"),
        flat=_flat(results),
        commands="\n".join(f"    {command}" for command in steps.commands()),
    )
    check(text)
    return text


def check(text: str) -> None:
    """Refuses a page with a hole in it.

    Raises:
        ValueError: A number that is none, or a field that nothing filled.
    """
    holes = re.findall(r"\bnan\b|\bNone\b|\binf\b|\{\w*\}", text)
    if holes:
        raise ValueError(f"the page has no value for: {', '.join(holes)}")


def markdown(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _question(asked: steps.Asked, answer: str) -> str:
    judged = "which is right" if answer == asked.truth else f'which is wrong: it is "{asked.truth}"'
    return f'"{asked.question}" of `{steps.SCENES}/{asked.scene}`. Answer: "{answer}", {judged}.'


def _agreement(claims: Sequence[Claim]) -> str:
    rows = [
        [str(i), claim.where, claim.paper, claim.here, "agrees" if claim.holds else "does not agree"]
        for i, claim in enumerate(claims, 1)
    ]
    return markdown(["", "where", "the paper", "here", ""], rows)


def _flow(results: Results) -> str:
    rows = []
    for like, flows in results.flows.items():
        made = flow_halves(flows)
        values = (value for group in GROUPS for value in (made[group].shallow, made[group].deep))
        rows.append([f"{like}-like", *(f"{value:.1e}" for value in values)])
    return markdown(["question", *(f"{g}, {half}" for g in GROUPS for half in ("shallow", "deep"))], rows)


def _traits(results: Results) -> str:
    names = {
        "attention.image_share": "image's share",
        "attention.focus": "attention's top tenth",
        "cam.focus": "CAM's top tenth",
    }
    columns = [results.trait(name) for name in names]
    rows = [[layer, *map(_value, values)] for layer, values in enumerate(zip(*columns, strict=True))]
    return markdown(["layer", *names.values()], rows)


def _even_words(results: Results) -> str:
    focus = results.trait("attention.focus")
    layers = [str(layer) for layer, value in enumerate(focus) if value is not None and value < EVEN]
    named = f"in layers {', '.join(layers)}" if layers else "in no layer"
    return f"The attention on the image is nearly even, with less than {EVEN:g} in the top tenth, {named}."


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _aims(results: Results) -> str:
    columns = [aim.mass for aim in results.aims.values()]
    rows = [[layer, *map(_value, values)] for layer, values in enumerate(zip(*columns, strict=True))]
    even = ["even map", *(_value(aim.box) for aim in results.aims.values())]
    return markdown(["layer", *(f"{like}-like" for like in results.aims)], [*rows, even])


def _aim_words(like: str, aim: Aim) -> str:
    cliff = "the run has no cliff" if aim.cliff is None else f"the run's own cliff is K = {aim.cliff}"
    return (
        f"{like}-like: more than an even map in {aim.above} of {aim.maps} layers, hottest cell in the box in "
        f"{aim.hits}; {cliff}."
    )


def _curves(columns: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    scores = [row["score"] for _, row in columns]
    rows = [[k, *(f"{100 * value:.2f}" for value in values)] for k, values in enumerate(zip(*scores, strict=True))]
    return markdown(["K", *(title for title, _ in columns)], rows)


def _table(results: Results) -> str:
    rows = []
    for line in TABLE:
        row = row_of(results.sweeps[line.sweep], line.own)
        there = "-" if row["cliff"] is None else _scored(row["at_cliff"], row["at_cliff_interval"])
        first, last = row["cliff_interval"]
        cliff = f"{_k(row['cliff'])} ({first}-{last}) of {results.layers}"
        own = "-" if line.paper_cliff is None else f"{line.paper_cliff} of {LAYERS}"
        name = f"{line.metric} ({'lower' if row['lower_is_better'] else 'higher'} is better)"
        paper = [f"{value:.2f}" for value in line.paper]
        base = _scored(row["baseline"], row["baseline_interval"])
        rows.append([f"{line.like}-like", name, base, cliff, there, row["items_counted"], row["items_needed"],
                     *paper, own])  # fmt: skip
    heads = ["data set", "metric", "untouched", "cliff K", "at the cliff", "items", "needed"]
    return markdown([*heads, "paper: baseline", "paper: at the cliff", "paper: cliff"], rows)


def _scored(value: float, interval: Sequence[float]) -> str:
    return f"{100 * value:.2f} [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def _k(cliff: int | None) -> str:
    return "none" if cliff is None else str(cliff)


def _verdicts(results: Results) -> str:
    rows = [(line, row_of(results.sweeps[line.sweep], line.own)) for line in TABLE]
    return "\n".join(f"- {x.like}-like, {x.metric}: {row['verdict']} {row['gain_verdict']}" for x, row in rows)


def _strategies(results: Results) -> list[Mapping[str, Any]]:
    return [row for row in results.sweeps["strategies"]["rows"] if row["metric"] == "accuracy"]


def _strategy_words(results: Results) -> str:
    every, *kept = _strategies(results)
    below = range(results.layers)
    lines = [f"- {every['cut']}: {every['verdict']}"]
    for row in kept:
        above = sum(row["score"][k] > every["score"][k] for k in below)
        lines.append(f"- {row['cut']}: above {every['cut']} at {above} of {results.layers} K. {row['verdict']}")
    if len(kept) == 2:
        first, second = kept
        above = sum(first["score"][k] > second["score"][k] for k in below)
        lines.append(f"- {first['cut']} is above {second['cut']} at {above} of {results.layers} K.")
    return "\n".join(lines)


def _flat(results: Results) -> str:
    names = {line.sweep: line.like for line in TABLE}
    rows = [[f"{names[sweep]}-like", found.items, found.flat, found.same] for sweep, found in results.flat.items()]
    return markdown(["data set", "items", "flat down to K = 0", "same answer at K = 0"], rows)
