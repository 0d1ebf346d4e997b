"""A made-up engine: hands out the layers of a finished run one by one, when the test says so."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from flowtui.engine.client import OnProgress
from flowtui.engine.results import Run
from flowtui.engine.spec import Parameters, RunSpec
from flowtui.engine.workflow import Progress, Request, Update


@dataclass
class FakeEngine:
    """Hands out `full`; each update, and each answer, waits for a step.

    Attributes: fail_at: update before which it raises `error`; refuse: what it raises in place of an answer.
    """

    full: Run
    fail_at: int | None = None
    error: BaseException | None = None
    steps: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    requests: list[Request] = field(default_factory=list)
    sent: int = 0
    closed: bool = False
    local: bool = True
    ended: bool = False
    refuse: BaseException | None = None
    specs: list[RunSpec] = field(default_factory=list)
    analyses: tuple[Parameters, ...] = ()

    def allow(self, updates: int) -> None:
        for _ in range(updates):
            self.steps.release()

    async def create(self, spec: RunSpec, analyses: Sequence[Parameters], on_progress: OnProgress) -> Run:
        self.specs.append(spec)
        self.analyses = tuple(analyses)
        on_progress(Progress("load", fraction=0.5))
        await self.steps.acquire()
        if self.refuse is not None:
            raise self.refuse
        answer = replace(self.full.answer, text="another")
        return replace(self.full, spec=spec, answer=answer, analyses={})

    async def close(self) -> None:
        self.ended = True

    async def compute(self, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Update, None]:
        self.requests.extend(requests)
        try:
            for request in requests:
                analysis = self.full.analyses[request.analysis]
                for layer in request.layers or sorted(analysis.layers):
                    await self.steps.acquire()
                    if self.sent == self.fail_at and self.error is not None:
                        raise self.error
                    run = run.with_layer(analysis.parameters, analysis.layers[layer])
                    self.sent += 1
                    progress = Progress("analyse", request.analysis, layer, layer / 12, 12.0 - layer)
                    yield Update(run, progress, analysis.layers[layer], cached=False)
        finally:
            self.closed = True


@pytest.fixture
def fake_engine() -> type[FakeEngine]:
    return FakeEngine
