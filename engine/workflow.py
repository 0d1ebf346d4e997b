"""From a spec to a complete run: what is cached is taken, what is missing is computed once and kept. Torch-free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass, field, replace
from logging import getLogger
from typing import Any

from flowtui.cache.store import LayerCache
from flowtui.errors import ProtocolError, RunFileError, UsageError

from .client import EngineClient, OnProgress
from .fit import Wanted
from .layername import WHOLE, layer_name
from .pinned import fit_pinned, load_pinned, prepare_pinned
from .replies import Progress
from .results import LayerResult, Run
from .shapes import HEAVY, check_layer
from .spec import AnalysisName, AttentionParameters, Parameters, RunSpec, analysis_name, parameters_to_plain

__all__ = ["Progress", "Request", "Update", "complete", "create_run"]

log = getLogger(__name__)

Start = Callable[[], Awaitable[EngineClient]]

LOOK_AGAIN_S = 0.2
"""How often a process that waits for another looks for the layers it has made so far."""


@dataclass(frozen=True, slots=True)
class Request:
    """An analysis that a run should have.

    Attributes:
        analysis: Its name.
        parameters: Its parameters.
        layers: Layers (or K) wanted; None for all.
    """

    analysis: AnalysisName
    parameters: Parameters
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if analysis_name(self.parameters) != self.analysis:
            raise UsageError(f"The parameters given are not those of the analysis {self.analysis}.")


@dataclass(frozen=True, slots=True)
class Update:
    """One step towards a complete run.

    Attributes:
        run: The run as it is now.
        progress: How far the engine is, or None.
        result: The layer that has just come, or None.
        cached: Whether it came from the cache; in the last update, whether nothing had to be computed.
        notice: Something the user should be told, or None.
    """

    run: Run
    progress: Progress | None = None
    result: LayerResult | None = None
    cached: bool = False
    notice: str | None = None


async def create_run(
    spec: RunSpec, *, client: EngineClient, on_progress: OnProgress | None = None, wanted: Wanted = ()
) -> Run:
    """Loads the model, tokenises the spec and answers it.

    Args:
        spec: The spec.
        client: An engine.
        on_progress: Told what happens.
        wanted: Analyses that the run is made for.

    Raises:
        OutOfMemoryError: The model or one of these analyses does not fit; nothing has been loaded then.
        FlowtuiError: What the engine found wrong, or that it went away.
    """
    async with client.turn:
        fit = await client.fit(spec, wanted, on_progress=on_progress)
        if fit is not None:
            fit.check()
        await client.load(
            spec.model,
            revision=spec.revision,
            dtype=spec.dtype,
            device=spec.device,
            trust_remote_code=spec.trust_remote_code,
            on_progress=on_progress,
        )
        prepared = await client.prepare(spec, on_progress)
        return replace(Run.from_prepared(spec, prepared), timings_s=dict(client.seconds))


async def complete(
    run: Run,
    requests: Sequence[Request],
    *,
    engine: str = "local",
    cache: LayerCache | None = None,
    force: bool = False,
    client: EngineClient | Start | None = None,
) -> AsyncGenerator[Update, None]:
    """Adds what a run lacks: from the cache, or else from an engine, which is started only when something is missing.

    Leaving early (`aclose`, or cancelling the task) stops the engine's work; the layers made until then are cached.

    Args:
        run: The run; its model, tokens and answer are pinned.
        requests: Analyses wanted, each at most once.
        engine: Where to start an engine, if need be.
        cache: Where layers are looked for and kept; None for nowhere.
        force: Compute everything again, and replace what is cached.
        client: An engine that is running already, or what starts it when it is needed; it stays open.

    Yields:
        Layers as they come, the cached ones first, with progress in between. The last update carries the final run.

    Raises:
        UsageError: Layers the model does not have, or an analysis asked for twice.
        ModelError: The engine has another model than the run was made with.
        FlowtuiError: What the engine found wrong, that it was cancelled or that it went away.
    """
    work = _Completion(run, [_Plan.of(run, request, force) for request in requests], engine, cache, force, client)
    try:
        async with aclosing(work.updates()) as updates:
            async for update in updates:
                yield update
    finally:
        await work.close()


@dataclass(slots=True)
class _Plan:
    """One request: what of it is still missing."""

    request: Request
    plain: dict[str, Any]
    missing: list[int]
    seconds: dict[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run, request: Request, force: bool) -> _Plan:
        name, expected = request.analysis, run.expected(request.analysis)
        wanted = list(expected) if request.layers is None else sorted(set(request.layers))
        if any(layer not in expected for layer in wanted):
            raise UsageError(f"The analysis {name} of this run has layers 0 to {expected[-1]}.")
        plain = parameters_to_plain(request.parameters)
        heavy = isinstance(request.parameters, AttentionParameters) and request.parameters.weights
        there = run.analyses.get(name)
        if there is not None and dict(there.parameters) == plain and not force:
            # A run file holds no heavy arrays: such a layer is there, and yet has to be fetched.
            have = {k for k, result in there.layers.items() if not heavy or result.arrays.keys() >= HEAVY}
            wanted = [layer for layer in wanted if layer not in have]
        return cls(request, plain, wanted)


class _Completion:
    def __init__(
        self,
        run: Run,
        plans: list[_Plan],
        engine: str,
        cache: LayerCache | None,
        force: bool,
        client: EngineClient | Start | None,
    ) -> None:
        names = [plan.request.analysis for plan in plans]
        if len(set(names)) < len(names):
            raise UsageError("An analysis was asked for twice.", "Ask for other parameters of it one after the other.")
        self.run = run
        self._plans = plans
        self._engine = engine
        self._cache = cache
        self._force = force
        self._client = client
        self._own: EngineClient | None = None

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Everything that `complete` yields."""
        fetched = computed = 0
        for plan in self._plans:
            async with aclosing(self._fetch(plan)) as updates:
                async for update in updates:
                    fetched += 1
                    yield update
        for plan in self._plans:
            if plan.missing:
                async with aclosing(self._share(plan)) as updates:
                    async for update in updates:
                        fetched += update.result is not None and update.cached
                        computed += update.result is not None and not update.cached
                        yield update
        for notice in self._notices():
            yield Update(self.run, notice=notice)
        said = f"{fetched} layers came from the cache" if fetched else "everything was there"
        yield Update(self.run, cached=not computed, notice=None if computed else f"Nothing to compute: {said}.")

    async def close(self) -> None:
        """Ends an engine that was started here."""
        if self._own is not None:
            await self._own.close()

    async def _fetch(self, plan: _Plan) -> AsyncGenerator[Update, None]:
        """Takes the missing layers that the cache has."""
        if self._cache is None or self._force:
            return
        for layer in list(plan.missing):
            result = await asyncio.to_thread(self._look_up, plan, layer)
            if result is not None:
                yield self._add(plan, result, cached=True)

    async def _share(self, plan: _Plan) -> AsyncGenerator[Update, None]:
        """Computes what is missing, or takes it from the process that already does."""
        if self._cache is None:
            async with aclosing(self._compute(plan)) as updates:
                async for update in updates:
                    yield update
            return
        key = self._key(plan, WHOLE)
        while plan.missing:
            lock = self._cache.lock(key, wait_s=0)
            mine = await asyncio.to_thread(lock.__enter__)
            try:
                # Whoever held the lock before has probably stored something.
                async with aclosing(self._fetch(plan)) as updates:
                    async for update in updates:
                        yield update
                if mine and plan.missing:
                    async with aclosing(self._compute(plan)) as updates:
                        async for update in updates:
                            yield update
            finally:
                await asyncio.to_thread(_leave, lock)
            if not mine and plan.missing:
                yield Update(self.run, Progress("wait", plan.request.analysis))
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _compute(self, plan: _Plan) -> AsyncGenerator[Update, None]:
        if not isinstance(self._client, EngineClient):
            yield Update(self.run, Progress("start"))
            if self._client is None:
                self._client = self._own = await EngineClient.start(self._engine, spare=False)
            else:
                self._client = await self._client()
        client = self._client

        async def keep(result: LayerResult, seconds: float) -> None:
            try:
                check_layer(self.run, result)
            except (ValueError, KeyError) as error:
                raise ProtocolError(f"The engine sent a layer that is not valid: {error}.") from error
            plan.seconds[result.layer] = seconds
            if self._cache is not None:
                await asyncio.to_thread(self._store, plan, result)

        async with client.turn:
            if not client.has_model:
                yield Update(self.run, Progress("fit"))
                await fit_pinned(client, self.run, [(p.request.parameters, p.missing) for p in self._plans])
            yield Update(self.run, Progress("load"))
            await load_pinned(client, self.run)
            yield Update(self.run, Progress("prepare"))
            await prepare_pinned(client, self.run)
            asked = tuple(plan.missing)
            async with aclosing(client.analyse(plan.request.parameters, asked, keep=keep)) as events:
                async for event in events:
                    if isinstance(event, Progress):
                        yield Update(self.run, event)
                    else:
                        yield self._add(plan, event, cached=False)
                    for notice in self._notices():
                        yield Update(self.run, notice=notice)
        if plan.missing:
            raise ProtocolError(f"The engine left out layers of {plan.request.analysis}: {plan.missing}.")

    def _add(self, plan: _Plan, result: LayerResult, *, cached: bool) -> Update:
        run = self.run.with_layer(plan.plain, result)
        analysis = run.analyses[result.analysis]
        seconds = analysis.seconds + plan.seconds.pop(result.layer, 0.0)
        run = run.with_analysis(replace(analysis, seconds=seconds))
        self.run = replace(run, timings_s={**run.timings_s, analysis.name: seconds})
        plan.missing.remove(result.layer)
        return Update(self.run, None, result, cached)

    def _look_up(self, plan: _Plan, layer: int) -> LayerResult | None:
        assert self._cache is not None
        data = self._cache.get(self._key(plan, layer))
        if data is None:
            return None
        try:
            result = LayerResult.from_bytes(data)
            check_layer(self.run, result)
        except (RunFileError, ValueError, KeyError) as error:
            log.warning("a cached layer of %s is not valid: %s", plan.request.analysis, error)
            return None
        return result if (result.analysis, result.layer) == (plan.request.analysis, layer) else None

    def _store(self, plan: _Plan, result: LayerResult) -> None:
        assert self._cache is not None
        self._cache.put(
            self._key(plan, result.layer),
            result.to_bytes(),
            analysis=result.analysis,
            layer=result.layer,
            model=self.run.model.name,
        )

    def _key(self, plan: _Plan, layer: int) -> str:
        run, request = self.run, plan.request
        return layer_name(run.spec, run.model, run.tokens, run.answer, request.analysis, plan.plain, layer)

    def _notices(self) -> tuple[str, ...]:
        return () if self._cache is None else self._cache.take_notices()


def _leave(lock: AbstractContextManager[bool]) -> None:
    lock.__exit__(None, None, None)
