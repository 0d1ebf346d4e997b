"""The torch-free side of the engine protocol: starts an engine, asks it things, survives its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from flowtui.errors import CancelledError, EngineError, FlowtuiError, ProtocolError

from .fit import Fit, Wanted, fit_from_plain
from .link import Call, Hello, Link
from .protocol import Message, spec_to_plain
from .replies import Progress as Progress
from .replies import checked, is_last, raise_error, to_progress
from .results import (
    Answer,
    LayerResult,
    ModelInfo,
    Prepared,
    answer_to_plain,
    model_from_plain,
    prepared_from_plain,
)
from .spec import ANALYSES, PARAMETERS, AnalysisName, Parameters, RunSpec, parameters_to_plain
from .transport import EXIT_DEVICE_LOST, Target, find_target

OnProgress = Callable[[Progress], None]
Keep = Callable[[LayerResult, float], Awaitable[None]]
Take = Callable[[Message], Awaitable[LayerResult]]


class _DeviceLostError(EngineError):
    """The engine gave up its process because its device is unusable in it; outside this module an `EngineError`."""

    @property
    def kind(self) -> str:
        return EngineError.__name__


class EngineClient:
    """An engine, here or on another machine. One request at a time is worked on; others wait their turn.

    Use it as `async with await EngineClient.start() as client`.
    """

    def __init__(self, target: Target, link: Link) -> None:
        self._target = target
        self._link = link
        self._said: dict[str, dict[str, Any]] = {}
        self._running: Call | None = None
        self._renewed = False
        self.seconds: dict[str, float] = {}
        """Engine time of the last load and prepare."""
        self.turn = asyncio.Lock()
        """Hold it from `prepare` to the end of `analyse`: the engine keeps one prepared run."""

    @classmethod
    async def start(cls, engine: str = "local", *, command: Sequence[str] | None = None) -> EngineClient:
        """Starts an engine.

        Args:
            engine: "local" or "ssh://[user@]host[:port]".
            command: Another program that speaks the protocol, in place of the one for `engine`.

        Raises:
            UsageError: No such place.
            EngineError: It does not start, does not greet, or is of another version.
        """
        target = find_target(engine) if command is None else Target(tuple(command))
        return cls(target, await Link.open(target))

    @property
    def hello(self) -> Hello:
        """Versions and devices there."""
        return self._link.hello

    @property
    def alive(self) -> bool:
        """Whether the engine process is there."""
        return self._link.ended is None

    @property
    def has_model(self) -> bool:
        """Whether a model has been loaded."""
        return "load" in self._said

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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

        async with aclosing(self._replies("analyse", values, take)) as replies:
            async for reply in replies:
                if isinstance(reply, LayerResult):
                    yield reply
                elif reply["type"] == "progress":
                    yield to_progress(reply, analysis)

    async def ping(self) -> float:
        """Seconds until the engine answered; it does so while it computes, too.

        Raises:
            EngineError: It is gone.
        """
        start = time.perf_counter()
        call = self._link.call()
        try:
            await self._link.send("ping", id=call.request)
            if await call.get() is None:
                raise self._why()
        finally:
            self._link.forget(call)
        return time.perf_counter() - start

    async def cancel(self) -> None:
        """Cancels what is running, for its caller a `CancelledError`; returns when the engine has stopped."""
        if self._running is not None:
            await self._link.stop(self._running)

    async def close(self) -> None:
        """Ends the engine."""
        await asyncio.shield(self._link.close())

    async def _ask(self, kind: str, values: dict[str, Any], on_progress: OnProgress | None) -> Message:
        """A request with one reply."""
        last: Message = {}
        async with aclosing(self._replies(kind, values, None)) as replies:
            async for reply in replies:
                assert not isinstance(reply, LayerResult)
                last = reply
                if reply["type"] == "progress" and on_progress is not None:
                    on_progress(to_progress(reply, None))
        expected = {"fit": "fitted", "load": "loaded", "prepare": "prepared"}[kind]
        if last.get("type") != expected:
            raise ProtocolError(f"The engine answered {kind} with {last.get('type')}.")
        if kind == "fit":
            return last
        self._said[kind] = values
        if kind == "load":
            self._said.pop("prepare", None)
        self.seconds[kind] = float(last["seconds"])
        return last

    async def _replies(
        self, kind: str, values: dict[str, Any], take: Take | None
    ) -> AsyncGenerator[Message | LayerResult, None]:
        """All replies to a request; from a new engine process, once, if the device was lost on the way."""
        if self._link.ended_by_us:
            await self._renew(kind)
        while True:
            try:
                async with aclosing(self._once(kind, values, take)) as replies:
                    async for reply in replies:
                        if isinstance(reply, LayerResult):
                            left = [layer for layer in values["layers"] if layer != reply.layer]
                            values = {**values, "layers": left}
                        yield reply
            except _DeviceLostError:
                if self._renewed:
                    raise
                self._renewed = True
                await self._renew(kind)
            else:
                return

    async def _once(
        self, kind: str, values: dict[str, Any], take: Take | None
    ) -> AsyncGenerator[Message | LayerResult, None]:
        call = self._link.call()
        taking: asyncio.Future[LayerResult] | None = None
        over = False
        self._running = call
        try:
            await self._link.send(kind, id=call.request, **values)
            while not over:
                reply = await call.get()
                over = is_last(reply)
                if reply is None:
                    raise CancelledError("Cancelled.") if call.cancelling else self._why()
                raise_error(reply)
                if take is not None and reply["type"] == "layer":
                    # Shielded: a layer that is here is kept, even if the reader is cancelled right now.
                    taking = asyncio.ensure_future(take(reply))
                    yield await asyncio.shield(taking)
                else:
                    yield reply
        finally:
            if taking is not None:
                await asyncio.wait((taking,))
            if not over:
                await self._abandon(call, take)
            self._link.forget(call)
            if self._running is call:
                self._running = None

    async def _abandon(self, call: Call, take: Take | None) -> None:
        """Cancels a call whose reader has left, and keeps the layers that were made until then."""
        await self._link.stop(call)
        while (reply := await call.get()) is not None and not is_last(reply):
            if take is not None and reply["type"] == "layer":
                await take(reply)

    async def _renew(self, kind: str) -> None:
        """A new engine process that knows what the old one knew before a request of this kind."""
        await self._link.close(kill=True)
        self._link = await Link.open(self._target)
        for earlier in ("load", "prepare"):
            if earlier == kind:
                return
            if earlier in self._said:
                async with aclosing(self._once(earlier, self._said[earlier], None)) as replies:
                    async for _ in replies:
                        pass

    def _why(self) -> FlowtuiError:
        ended = self._link.ended or EngineError("The engine is gone.")
        if self._link.exit_code == EXIT_DEVICE_LOST:
            return _DeviceLostError(ended.message, "Its device failed; if it happens again, try --device cpu.")
        return type(ended)(ended.message, ended.hint)


def analysis_name(parameters: Parameters) -> AnalysisName:
    """The analysis that parameters belong to."""
    return next(name for name in ANALYSES if type(parameters) is PARAMETERS[name])
