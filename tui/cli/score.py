"""`flowtui score`: the metrics of answers that were made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowtui.errors import UsageError

from .options import Json
from .output import note, write

if TYPE_CHECKING:
    from flowtui.engine.datasets.answers import Answers
    from flowtui.engine.datasets.items import Dataset
    from flowtui.engine.metrics.metric import Metric
    from flowtui.engine.metrics.score import Part, Score

NAME_CELLS = 24
SILENT_IS_WRONG = frozenset({"scienceqa"})
"""Data sets whose official scripts take a question without an answer for a wrong one; elsewhere it does not count."""


def score(
    name: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="pope, textvqa, scienceqa, chair or demo; a variant after a plus, like demo+caption.",
            show_default=False,
        ),
    ],
    answers: Annotated[
        list[Path],
        typer.Option("--answers", metavar="FILE", help="Answers, in an official form or LLaVA's; repeatable."),
    ],
    questions: Annotated[
        list[Path] | None,
        typer.Option("--questions", metavar="FILE|DIR", help="The official files, or their folder; repeatable."),
    ] = None,
    split: Annotated[str | None, typer.Option("--split", metavar="S", help="scienceqa: the split; test.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="demo: as many questions as were answered.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="demo: the seed of the questions answered.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at anything missing or unexpected, instead of a note.")
    ] = False,
    json: Json = False,
) -> None:
    """Score answers made elsewhere by a data set's own rules."""
    from flowtui.engine.datasets.answers import read_answers
    from flowtui.engine.metrics.score import score as judge
    from flowtui.engine.metrics.table import METRICS
    from flowtui.tui.table import to_json

    dataset = _open(name, questions or [], answers, {"split": split, "limit": limit, "seed": seed}, strict)
    given = read_answers(dataset, answers)
    if strict and given.notes:
        raise UsageError(given.notes[0], "Without --strict this is a note.")
    name = dataset.name
    metric, notes = METRICS[name], (*dataset.notes, *given.notes)
    scored = judge(metric, dataset.items, given.texts, silent_is_wrong=name in SILENT_IS_WRONG)
    if json:
        write(to_json(_describe(name, dataset, given, scored, notes)))
        return
    for text in notes:
        note(text)
    write(_show(scored, metric))


def _open(name: str, questions: list[Path], answers: list[Path], given: Mapping[str, object], strict: bool) -> Dataset:
    """The data set, without images; of COCO's only the images that have a caption."""
    from flowtui.engine.datasets.answers import ids_in
    from flowtui.engine.datasets.opening import open_dataset, read_name

    base, _ = read_name(name)
    own = {"scienceqa": {"split"}, "demo": {"limit", "seed"}}.get(base, set())
    options = {key: value for key, value in given.items() if value is not None}
    for key in options.keys() - own:
        raise UsageError(f"--{key} does not go with {base}.", "See: flowtui score --help")
    if base == "chair":
        options["only"] = ids_in(base, answers)
    return open_dataset(name, questions=questions, strict=strict, **options)  # type: ignore[arg-type]


def _describe(name: str, dataset: Dataset, given: Answers, scored: Score, notes: tuple[str, ...]) -> dict[str, Any]:
    def part(of: Part) -> dict[str, Any]:
        return {"items": of.items, "images": of.clusters, "scores": dict(of.values), "sums": of.sums}

    return {
        "dataset": name,
        "questions": len(dataset.items),
        "answered": sum(text is not None for text in given.texts),
        **part(scored.whole),
        "kinds": {kind: part(of) for kind, of in scored.kinds.items()},
        "notes": list(notes),
    }


def _show(scored: Score, metric: Metric) -> str:
    """One line per metric for all items, then one block per kind where there are several."""
    from flowtui.tui.text import visible

    parts = {"all": scored.whole, **(scored.kinds if len(scored.kinds) > 1 else {})}
    blocks = []
    for kind, part in parts.items():
        lines = [f"{visible(kind)}: {part.items:,} questions on {part.clusters:,} images\n"]
        for name in metric.names:
            value, (top, bottom) = part.values[name], part.sums[name]
            if value is not None:
                shown = f"{100 * value:.2f} %" if metric.is_share(name) else f"{value:.1f}"
                lines.append(f"  {name:<{NAME_CELLS}}{shown:>10}   {top:,.10g} / {bottom:,.10g}\n")
        blocks.append("".join(lines))
    return "\n".join(blocks)
