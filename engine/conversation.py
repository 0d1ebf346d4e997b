"""Requests to one engine and their replies, also across its end: a new process or a new line goes on where it was.

Torch-free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from flowtui.errors import CancelledError, EngineError, FlowtuiError, LineError

from .link import LEAVE_GRACE_S, Call, Link
from .protocol import Message
from .reconnect import Attempts
from .replies import Progress, is_last, raise_error
from .results import LayerResult
from .transport import EXIT_DEVICE_LOST, Target

Take = Callable[[Message], Awaitable[LayerResult]]
Reply = Message | LayerResult | Progress


class _DeviceLostError(EngineError):
    """The engine gave up its process because its device is unusable in it; outside this module an `EngineError`."""

    @property
    def kind(self) -> str:
        return EngineError.__name__


class Conversation:
    """What is said to one engine.

    Args:
        target: Where the engine runs.
        link: The engine.
        spare: Whether it is worth some patience when work is cancelled, because there will be more for it.

    Attributes:
        link: The engine as it is now; another one after it was started anew.
        said: The last load and the last prepare: a new engine is told both.
        on_lost: Called with the reason when the engine goes away unasked.
    """

    def __init__(self, target: Target, link: Link, *, spare: bool = True) -> None:
        self.said: dict[str, dict[str, Any]] = {}
        self.on_lost: Callable[[FlowtuiError], None] | None = None
        self._target = target
        self._spare = spare
        self._running: Call | None = None
        self._renewed = False
        self.link = self._watched(link)

    async def cancel(self) -> None:
        """Cancels what is running, for its caller a `CancelledError`; returns when the engine has stopped."""
        if self._running is not None:
            await self.link.stop(self._running)

    def why(self) -> FlowtuiError:
        """Why the engine is gone."""
        ended = self.link.ended or EngineError("The engine is gone.")
        if self.link.exit_code == EXIT_DEVICE_LOST:
            return _DeviceLostError(ended.message, "Its device failed; if it happens again, try --device cpu.")
        return type(ended)(ended.message, ended.hint)

    async def replies(self, kind: str, values: dict[str, Any], take: Take | None) -> AsyncGenerator[Reply, None]:
        """All replies to a request; from a new engine where the line, or once the device, was lost on the way."""
        if self.link.ended_by_us:
            await self._renew(kind)
        while True:
            if values.get("layers") == []:
                return  # the last one had arrived
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
            except LineError as error:
                async with aclosing(self._reconnect(kind, error)) as attempts:
                    async for progress in attempts:
                        yield progress
            else:
                return

    async def _once(self, kind: str, values: dict[str, Any], take: Take | None) -> AsyncGenerator[Reply, None]:
        call = self.link.call()
        taking: asyncio.Future[LayerResult] | None = None
        over = False
        self._running = call
        try:
            await self.link.send(kind, id=call.request, **values)
            while not over:
                reply = await call.get()
                over = is_last(reply)
                if reply is None:
                    raise CancelledError("Cancelled.") if call.cancelling else self.why()
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
            self.link.forget(call)
            if self._running is call:
                self._running = None

    async def _abandon(self, call: Call, take: Take | None) -> None:
        """Cancels a call whose reader has left, and keeps the layers that were made until then."""
        await self.link.stop(call, None if self._spare else LEAVE_GRACE_S)
        while (reply := await call.get()) is not None and not is_last(reply):
            if take is not None and reply["type"] == "layer":
                await take(reply)

    async def _renew(self, kind: str) -> None:
        """A new engine process that knows what the old one knew before a request of this kind."""
        await self.link.close(kill=True)
        self.link = self._watched(await Link.open(self._target))
        for earlier in ("load", "prepare"):
            if earlier == kind:
                return
            if earlier in self.said:
                async with aclosing(self._once(earlier, self.said[earlier], None)) as replies:
                    async for _ in replies:
                        pass

    async def _reconnect(self, kind: str, lost: LineError) -> AsyncGenerator[Progress, None]:
        """Makes a lost line again, however often it takes."""
        attempts = Attempts(lost)
        while True:
            yield attempts.progress
            await attempts.pause()
            try:
                await self._renew(kind)
            except LineError as error:
                attempts.failed(error)
            else:
                return

    def _watched(self, link: Link) -> Link:
        """The link, whose end is told on."""
        link.on_end = lambda error: self.on_lost(error) if self.on_lost is not None else None
        return link
