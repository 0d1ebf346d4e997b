"""What `run`, `precompute` and `demo` share: requests for an engine, and a run file that keeps what was reached."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from flowtui.cache.runfile import write_plain
from flowtui.cache.store import LayerCache
from flowtui.engine.client import EngineClient
from flowtui.engine.results import Run
from flowtui.engine.spec import AnalysisName, RunSpec, parameters_from_plain, parameters_to_plain
from flowtui.engine.workflow import Request, complete, create_run
from flowtui.errors import CacheError, CancelledError, FlowtuiError, UsageError

from .output import note

if TYPE_CHECKING:
    from .progress import Reporter


@dataclass(slots=True)
class Work:
    """One run on its way; what is reached stays here when the way is cut short.

    Attributes:
        path: Where the run file goes.
        run: What there is so far.
        computed, cached: Layers that this process got from the engine and from the cache, by analysis.
    """

    path: Path
    run: Run | None = None
    computed: Counter[str] = field(default_factory=Counter)
    cached: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> bool:
        """Whether anything was added to the run."""
        return bool(self.computed or self.cached)

    def describe(self) -> str:
        """What was added, in words."""
        words = [
            f"{title} {', '.join(f'{name} ({count})' for name, count in layers.items())}"
            for title, layers in (("computed", self.computed), ("nothing computed, from the cache", self.cached))
            if layers
        ]
        return "; ".join(words).replace("; nothing computed, from", "; from")


def open_cache() -> LayerCache | None:
    """The cache, or None, said on stderr, where it cannot be used: work goes on without it."""
    try:
        return LayerCache.open()
    except CacheError as error:
        note(f"{error.message} Going on without it.")
        return None


def choose(
    run: Run,
    analyses: Sequence[AnalysisName],
    settings: Mapping[str, Mapping[str, Any]],
    layers: Sequence[int] | None,
    *,
    force: bool = False,
) -> list[Request]:
    """What has to be computed for a run to have these analyses.

    Args:
        run: The run as it is.
        analyses: Analyses wanted.
        settings: Parameters by analysis, over those the run has or the defaults.
        layers: Layers (or K) wanted; None for all.
        force: Also ask for what the run has.

    Returns:
        Requests; empty where the run has everything already.

    Raises:
        UsageError: Parameters for an analysis that is not wanted, or layers that no wanted analysis has.
    """
    for name in settings:
        if name not in analyses:
            raise UsageError(
                f"--set gives a parameter of {name}, which is not asked for.", f"Add {name} to --analysis."
            )
    highest = max(run.expected(name)[-1] for name in analyses)
    if layers and layers[-1] > highest:
        raise UsageError(
            f"There is no layer {layers[-1]}; the model has layers 0 to {run.model.layers - 1}.",
            f"Only truncation goes on to K = {run.model.layers}." if "truncation" not in analyses else "",
        )
    requests = []
    for name in analyses:
        there = run.analyses.get(name)
        before = dict(there.parameters) if there else {}
        parameters = parameters_from_plain(name, {**before, **settings.get(name, {})})
        other = parameters_to_plain(parameters) != before
        wanted = run.expected(name) if force or other else run.missing(name)
        chosen = tuple(k for k in wanted if layers is None or k in layers)
        if chosen:
            requests.append(Request(name, parameters, chosen))
    return requests


async def fill(
    work: Work,
    requests: Sequence[Request],
    reporter: Reporter,
    *,
    engine: str,
    cache: LayerCache | None,
    force: bool = False,
    client: EngineClient | None = None,
) -> None:
    """Completes a run, layer by layer."""
    assert work.run is not None
    updates = complete(work.run, requests, engine=engine, cache=cache, force=force, client=client)
    async with aclosing(updates):
        async for update in updates:
            work.run = update.run
            if update.result is not None:
                (work.cached if update.cached else work.computed)[update.result.analysis] += 1
            if update.progress is not None:
                reporter.progress(update.progress)
            # The last update's notice says that nothing was computed; each command says that in its own words.
            if update.notice and not update.cached:
                reporter.notice(update.notice)


async def create(
    work: Work,
    spec: RunSpec,
    analyses: Sequence[AnalysisName],
    settings: Mapping[str, Mapping[str, Any]],
    layers: Sequence[int] | None,
    reporter: Reporter,
    *,
    engine: str,
    cache: LayerCache | None,
) -> None:
    """Makes a run from a spec, with one engine for everything."""
    async with await EngineClient.start(engine, spare=False) as client:
        wanted = [(parameters_from_plain(name, dict(settings.get(name, {}))), layers) for name in analyses]
        work.run = await create_run(spec, client=client, on_progress=reporter.progress, wanted=wanted)
        requests = choose(work.run, analyses, settings, layers)
        await fill(work, requests, reporter, engine=engine, cache=cache, client=client)


def finish(work: Work, job: Coroutine[Any, Any, None], run: Callable[[Coroutine[Any, Any, None]], None]) -> Run:
    """Runs a job to its end and writes the run file; cut short, it writes what was reached.

    Args:
        work: What the job works on.
        job: Adds to `work.run`.
        run: Runs a coroutine, as `asyncio.run` does.

    Raises:
        FlowtuiError: What the job raises, after what was reached is on disk.
    """
    try:
        run(job)
    except (FlowtuiError, KeyboardInterrupt) as error:
        if work.run is not None and work.done:
            write_plain(work.path, work.run.to_plain())
            note(f"What was done is in {work.path}. Go on with: flowtui precompute {work.path}")
        if isinstance(error, KeyboardInterrupt):
            raise CancelledError("Cancelled.") from None
        raise
    assert work.run is not None
    write_plain(work.path, work.run.to_plain())
    return work.run


class SharedEngine:
    """An event loop for several jobs, and one engine for all of them, so that a model is loaded once.

    Starting an engine loads nothing; still, none is started for a single job, which may find everything in the cache.
    """

    def __init__(self, engine: str, jobs: int) -> None:
        self.client: EngineClient | None = None
        self._engine = engine
        self._jobs = jobs
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        if self._jobs > 1:
            try:
                self.client = self._runner.run(EngineClient.start(self._engine, spare=False))
            except BaseException:
                self._runner.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.client is not None:
            self._runner.run(self.client.close())
        self._runner.close()

    def run(self, job: Coroutine[Any, Any, None]) -> None:
        """Runs one job."""
        self._runner.run(job)
