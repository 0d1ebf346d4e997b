"""The engine behind the explorer: started when it is first needed, and kept, so that its model stays loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from flowtui.engine.results import Run
from flowtui.engine.spec import Parameters, RunSpec
from flowtui.errors import CacheError, FlowtuiError

if TYPE_CHECKING:
    from flowtui.cache.store import LayerCache
    from flowtui.engine.client import EngineClient, OnProgress
    from flowtui.engine.workflow import Request, Update


class KeptEngine:
    """Cache first, then the engine at a place. Nothing of either is imported before it is needed.

    Args:
        place: "local" or `ssh://[user@]host[:port][?command=PROGRAM]`.

    Attributes:
        local: Whether it is on this machine, and sees its folders.
        on_lost: Called with the reason when the engine goes away unasked.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self.local = place == "local"
        self.on_lost: Callable[[FlowtuiError], None] | None = None
        self._client: EngineClient | None = None

    async def compute(self, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Update, None]:
        """Adds what a run lacks."""
        # Imported in a thread: the event loop keeps answering keys meanwhile.
        workflow, cache, notice = await asyncio.to_thread(_open)
        try:
            if notice:
                yield workflow.Update(run, notice=notice)
            client = self._client if self._client is not None and self._client.alive else self._get
            async with aclosing(workflow.complete(run, requests, cache=cache, client=client)) as updates:
                async for update in updates:
                    yield update
        finally:
            if cache is not None:
                await asyncio.to_thread(cache.close)

    async def create(self, spec: RunSpec, analyses: Sequence[Parameters], on_progress: OnProgress) -> Run:
        """Answers a question."""
        workflow = await asyncio.to_thread(_import_workflow)
        if self._client is None or not self._client.alive:
            on_progress(workflow.Progress("start"))
        wanted = [(parameters, None) for parameters in analyses]
        made = await workflow.create_run(spec, client=await self._get(), on_progress=on_progress, wanted=wanted)
        assert isinstance(made, Run)
        return made

    async def close(self) -> None:
        """Ends the engine."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _get(self) -> EngineClient:
        """The engine, started anew where it is gone."""
        from flowtui.engine.client import EngineClient

        if self._client is not None and not self._client.alive:
            await self.close()
        if self._client is None:
            self._client = await EngineClient.start(self._place)
            self._client.on_lost(self._lost)
        return self._client

    def _lost(self, error: FlowtuiError) -> None:
        if self.on_lost is not None:
            self.on_lost(error)


def _import_workflow() -> Any:
    from flowtui.engine import workflow

    return workflow


def _open() -> tuple[Any, LayerCache | None, str]:
    """The workflow module, the cache or None, and what to say about that."""
    from flowtui.cache.store import LayerCache

    workflow = _import_workflow()
    try:
        return workflow, LayerCache.open(), ""
    except CacheError as error:
        return workflow, None, f"Going on without the cache: {error}"
