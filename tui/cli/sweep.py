"""`flowtui sweep`: a data set's curves over K, item by item, into one file; goes on where it was cut short."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowtui.errors import CancelledError, FlowtuiError, UsageError

from .options import Json
from .output import note, write
from .run import Dtype

if TYPE_CHECKING:
    from flowtui.engine.results import ModelInfo
    from flowtui.engine.sweeps.plan import Options
    from flowtui.engine.sweeps.rays import WorkerState
    from flowtui.engine.sweeps.result import Sweep
    from flowtui.engine.sweeps.running import Executor, State

    from .progress import Reporter


def sweep(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="demo, pope, textvqa, scienceqa or chair.")],
    questions: Annotated[
        list[Path] | None,
        typer.Option("--questions", metavar="F", help="The official question files, or their folder; repeatable."),
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", metavar="DIR", help="The folder of the images.")] = None,
    model: Annotated[str, typer.Option("--model", metavar="demo|ID|DIR", help="The model.")] = "demo",
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="sweep.pkl", help="The sweep; its journal lies beside it.")
    ] = Path("sweep.pkl"),
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only so many items.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="S", min=0, help="Of the items drawn, and of random-R.")
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy", metavar="all,top-R,random-R", help="What is cut: all image tokens, or all but R of them."
        ),
    ] = None,
    traits: Annotated[
        str, typer.Option("--with", metavar="attention,cam", help="Also how the untouched model looks at the image.")
    ] = "",
    traits_limit: Annotated[
        int, typer.Option("--with-limit", metavar="N", min=1, help="For how many items, spread evenly.")
    ] = 200,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", min=1, help="Longest answer, in tokens.")
    ] = 64,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="FORM", help="A prompt of your own, with the data set's {fields}.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="What the model computes in.")] = "auto",
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="R", help="Branch, tag or commit of a Hugging Face id.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="On so many workers: one per GPU, or on the CPU."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="On a Ray cluster, whose dashboard is http://HOST:8265."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop where a file or an image is not as it should be.")] = (
        False
    ),
    json: Json = False,
) -> None:
    """Sweep a data set: every item's answer with the image cut after K layers, for every K.

    What is done is kept item by item: the same command goes on after a Ctrl-C, a crash or a power cut.
    """
    import asyncio

    from flowtui.engine.sweeps.journal import journal_path
    from flowtui.engine.sweeps.plan import Options, read_cuts, read_traits
    from flowtui.tui.sweepsummary import summarise_sweep
    from flowtui.tui.sweeptable import to_text
    from flowtui.tui.table import to_json

    from .files import check_place, full_name
    from .progress import Reporter

    options = Options(read_cuts(strategy or ["all"]), seed or 0, max_new_tokens, read_traits(traits), traits_limit)
    data: dict[str, Any] = {
        "questions": tuple(questions or ()),
        "images": images,
        "form": prompt,
        "limit": limit,
        "seed": seed,
        "strict": strict,
    }
    load = {"dtype": dtype, "device": device, "revision": revision}
    check_place(output)
    _look_at(dataset, data)
    with Reporter() as reporter:
        shown = _Shown(reporter)
        try:
            made = asyncio.run(_run(dataset, data, full_name(model), load, options, output, workers, ray, shown))
        except (FlowtuiError, KeyboardInterrupt) as error:
            if shown.done:
                note(f"{shown.done} of {shown.total} items are in {journal_path(output)}. Go on with the same command.")
            if isinstance(error, KeyboardInterrupt):
                raise CancelledError("Cancelled.") from None
            raise
    content = summarise_sweep(made)
    write(to_json(content) if json else to_text(content))
    if shown.total:
        note(f"Wrote {output}. Look at it with: flowtui {output}" if sys.stderr.isatty() else f"Wrote {output}")
    else:
        note(f"{output} is this very sweep, and complete: nothing was computed.")


def _look_at(dataset: str, data: dict[str, Any]) -> None:
    """Opens the data set once before any model is loaded: a wrong file should not be found after minutes."""
    from flowtui.engine.datasets.opening import open_dataset, read_name

    if read_name(dataset)[0] != "demo" and data["images"] is None:
        if not data["questions"]:
            raise UsageError(
                "The data set's files are missing.", "Give them with --questions, the images with --images."
            )
        raise UsageError("The images are missing.", "Give their folder with --images.")
    opened = open_dataset(dataset, **data)
    if not opened.items:
        raise UsageError(f"The data set {dataset} has no items here.")
    for text in opened.notes:
        note(text)


async def _run(
    dataset: str,
    data: dict[str, Any],
    model: str,
    load: dict[str, Any],
    options: Options,
    output: Path,
    workers: int | None,
    ray: str | None,
    shown: _Shown,
) -> Sweep:
    """Makes the sweep, or finds that it is made."""
    from flowtui.engine.client import EngineClient, Progress
    from flowtui.engine.datasets.opening import open_dataset
    from flowtui.engine.sweeps.plan import Job
    from flowtui.engine.sweeps.running import Local, finished, run_sweep

    async def make(info: ModelInfo, executor: Executor) -> Sweep:
        job = Job.of(open_dataset(dataset, family=info.family, **data), options, info)
        return finished(job, output) or await run_sweep(job, output, executor, on_state=shown.state)

    shown.reporter.progress(Progress("start"))
    if ray is not None:
        from flowtui.engine.sweeps.rayjobs import open_cluster

        cluster = open_cluster(ray, {"model": model, **load}, workers, shown.worker)
        return await make(await cluster.info(), cluster)
    if workers is not None:
        from flowtui.engine.sweeps.rays import open_workers

        async with open_workers(workers, {"model": model, **load}, shown.worker) as executor:
            return await make(await executor.info(), executor)
    async with await EngineClient.start(spare=False) as client:
        return await make(await client.load(model, on_progress=shown.reporter.progress, **load), Local(client))


class _Shown:
    """How far it is, shown where a person watches.

    Attributes:
        done, total: Items; 0 while no sweep is running.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.done = self.total = 0

    def state(self, state: State) -> None:
        """One more item, or the first look at the journal."""
        if state.done and not state.computed:
            self.reporter.notice(f"Going on after {state.done} of {state.total} items.")
        self.done, self.total = state.done, state.total
        self.reporter.items(state.done, state.total, state.rate, state.seconds_left)

    def worker(self, state: WorkerState) -> None:
        """A worker has done a group."""
        self.reporter.worker(state.number, state.items)
