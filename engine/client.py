"""The torch-free side of the engine protocol: starts an engine, asks it things, survives its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from flowtui.errors import FlowtuiError, ProtocolError

from .conversation import Conversation
from .examination import Examination, examination_from_plain
from .fit import Fit, Wanted, fit_from_plain
from .greeting import Hello
from .link import Link
from .protocol import Message, spec_to_plain
from .replies import Progress as Progress
from .replies import checked, to_progress
from .results import (
    Answer,
    LayerResult,
    ModelInfo,
    Prepared,
    answer_to_plain,
    model_from_plain,
    prepared_from_plain,
)
from .spec import Parameters, RunSpec, analysis_name, parameters_to_plain
from .transport import Target, find_target

OnProgress = Callable[[Progress], None]
Keep = Callable[[LayerResult, float], Awaitable[None]]


class EngineClient:
    """An engine, here or on another machine. One request at a time is worked on; others wait their turn.

    A line that is lost is made again, and the work goes on: a layer that has arrived is not computed again.

    Use it as `async with await EngineClient.start() as client`.
    """

    def __init__(self, target: Target, link: Link, *, spare: bool = True) -> None:
        self._talk = Conversation(target, link, spare=spare)
        self.seconds: dict[str, float] = {}
        """Engine time of the last load and prepare."""
        self.turn = asyncio.Lock()
        """Hold it from `prepare` to the end of `analyse`: the engine keeps one prepared run."""

    @classmethod
    async def start(
        cls, engine: str = "local", *, command: Sequence[str] | None = None, spare: bool = True
    ) -> EngineClient:
        """Starts an engine.

        Args:
            engine: "local" or `ssh://[user@]host[:port][?command=PROGRAM]`.
            command: Another program that speaks the protocol, in place of the one for `engine`.
            spare: Whether it is worth some patience when work is cancelled, because there will be more for it.

        Raises:
            UsageError: No such place.
            EngineError: It does not start, does not greet, or is of another version.
        """
        target = find_target(engine) if command is None else Target(tuple(command))
        return cls(target, await Link.open(target), spare=spare)

    def on_lost(self, tell: Callable[[FlowtuiError], None]) -> None:
        """Has somebody told when the engine goes away unasked, and why."""
        self._talk.on_lost = tell

    @property
    def hello(self) -> Hello:
        """Versions and devices there."""
        return self._talk.link.hello

    @property
    def alive(self) -> bool:
        """Whether the engine process is there."""
        return self._talk.link.ended is None

    @property
    def has_model(self) -> bool:
        """Whether a model has been loaded."""
        return "load" in self._talk.said

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def examine(self) -> Examination:
        """What the engine finds that it has to work with; it tries everything, so this takes seconds.

        Raises:
            EngineError: It went away.
        """
        reply = await self._ask("examine", {}, None)
        return checked(examination_from_plain, reply["found"])

    async def load(
        self,
        model: str,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        device: str = "auto",
        trust_remote_code: bool = False,
        on_progress: OnProgress | None = None,
    ) -> ModelInfo:
        """Loads a model; one that is loaded already costs nothing.

        Raises:
            FlowtuiError: What the engine found wrong, or that it went away.
        """
        values = {
            "model": model,
            "revision": revision,
            "dtype": dtype,
            "device": device,
            "trust_remote_code": trust_remote_code,
        }
        reply = await self._ask("load", values, on_progress)
        return checked(model_from_plain, reply["model"])

    async def fit(
        self,
        spec: RunSpec,
        wanted: Wanted,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Fit | None:
        """What a spec's model, its prompt and analyses of it take, before anything is loaded.

        Args:
            spec: The spec.
            wanted: Parameters of the analyses, and their layers (or K); None for all.
            revision, dtype: In place of the spec's.
            on_progress: Told what happens.

        Returns:
            What they take; None where that cannot be told, for `load` to say why.

        Raises:
            FlowtuiError: The engine went away, or was asked for what cannot be meant.
        """
        values = {
            "model": spec.model,
            "revision": revision or spec.revision,
            "dtype": dtype or spec.dtype,
            "device": spec.device,
            "trust_remote_code": spec.trust_remote_code,
            "spec": spec_to_plain(spec),
            "analyses": [
                {
                    "analysis": analysis_name(parameters),
                    "parameters": parameters_to_plain(parameters),
                    "layers": None if layers is None else list(layers),
                }
                for parameters, layers in wanted
            ],
        }
        reply = await self._ask("fit", values, on_progress)
        return None if reply["fit"] is None else checked(fit_from_plain, reply["fit"])

    async def prepare(
        self, spec: RunSpec, on_progress: OnProgress | None = None, *, answer: Answer | None = None
    ) -> Prepared:
        """Tokenises a spec with the loaded model and answers it.

        Args:
            spec: The spec.
            on_progress: Told what happens.
            answer: The answer a run is pinned to, taken as it is; None takes the spec's or lets the model answer.

        Raises:
            FlowtuiError: What the engine found wrong, or that it went away.
        """
        values = {"spec": spec_to_plain(spec), "answer": None if answer is None else answer_to_plain(answer)}
        reply = await self._ask("prepare", values, on_progress)
        return checked(prepared_from_plain, reply["prepared"])

    async def analyse(
        self, parameters: Parameters, layers: Sequence[int], *, keep: Keep | None = None
    ) -> AsyncGenerator[Progress | LayerResult, None]:
        """Runs an analysis on what was prepared, layer by layer. Leaving early cancels it.

        Args:
            parameters: Of the analysis to run.
            layers: Layers (or K) wanted.
            keep: Awaited with every layer and its engine seconds as it arrives, before it is yielded; also with those
                that arrive after the consumer has left.

        Raises:
            FlowtuiError: What the engine found wrong, that it was cancelled or that it went away.
        """
        analysis = analysis_name(parameters)
        values = {"analysis": analysis, "parameters": parameters_to_plain(parameters), "layers": list(layers)}

        async def take(reply: Message) -> LayerResult:
            result = await asyncio.to_thread(checked, LayerResult.from_bytes, reply["entry"])
            if result.analysis != analysis or result.layer not in layers:
                raise ProtocolError(f"The engine sent {result.analysis} layer {result.layer}, which nobody asked for.")
            if keep is not None:
                await keep(result, float(reply["seconds"]))
            return result

        async with aclosing(self._talk.replies("analyse", values, take)) as replies:
            async for reply in replies:
                if isinstance(reply, (LayerResult, Progress)):
                    yield reply
                elif reply["type"] == "progress":
                    yield to_progress(reply, analysis)

    async def sweep(self, payload: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Computes one group of a sweep with the loaded model, item by item. Leaving early cancels it.

        Args:
            payload: As `flowtui.engine.sweeps.plan.Job.payload` makes it.

        Yields:
            Records, not yet checked; an engine that had to be started anew may send some again.

        Raises:
            FlowtuiError: What the engine found wrong, that it was cancelled or that it went away.
        """
        async with aclosing(self._talk.replies("sweep", dict(payload), None)) as replies:
            async for reply in replies:
                if isinstance(reply, dict) and reply["type"] == "record":
                    yield reply["record"]

    async def ping(self) -> float:
        """Seconds until the engine answered; it does so while it computes, too.

        Raises:
            EngineError: It is gone.
        """
        start = time.perf_counter()
        call = self._talk.link.call()
        try:
            await self._talk.link.send("ping", id=call.request)
            if await call.get() is None:
                raise self._talk.why()
        finally:
            self._talk.link.forget(call)
        return time.perf_counter() - start

    async def cancel(self) -> None:
        """Cancels what is running, for its caller a `CancelledError`; returns when the engine has stopped."""
        await self._talk.cancel()

    async def close(self) -> None:
        """Ends the engine."""
        await asyncio.shield(self._talk.link.close())

    async def _ask(self, kind: str, values: dict[str, Any], on_progress: OnProgress | None) -> Message:
        """A request with one reply."""
        last: Message = {}
        async with aclosing(self._talk.replies(kind, values, None)) as replies:
            async for reply in replies:
                assert not isinstance(reply, LayerResult)
                progress = reply if isinstance(reply, Progress) else None
                if not isinstance(reply, Progress):
                    last = reply
                    progress = to_progress(reply, None) if reply["type"] == "progress" else None
                if progress is not None and on_progress is not None:
                    on_progress(progress)
        expected = {"examine": "examined", "fit": "fitted", "load": "loaded", "prepare": "prepared"}[kind]
        if last.get("type") != expected:
            raise ProtocolError(f"The engine answered {kind} with {last.get('type')}.")
        if kind in ("examine", "fit"):
            return last
        self._talk.said[kind] = values
        if kind == "load":
            self._talk.said.pop("prepare", None)
        self.seconds[kind] = float(last["seconds"])
        return last
