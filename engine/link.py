"""One engine process as its client sees it: frames in and out, its last words, and its end. Torch-free."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
from asyncio import Event
from collections import deque
from collections.abc import Callable
from typing import Any

from flowtui import __version__
from flowtui.errors import EngineError, FlowtuiError, ProtocolError

from .greeting import Hello, read_hello
from .patience import BEAT_S
from .protocol import PROTOCOL, Message, encode, read_frame_async
from .replies import is_last, raise_error
from .transport import Target, describe_end

log = logging.getLogger(__name__)

HELLO_TIMEOUT_S = 120.0
GRACE_S = 2.0
"""How long a cancelled engine may take before the next, harder step."""
LEAVE_GRACE_S = 0.3
"""The same for an engine that nobody needs afterwards: a person waits for the prompt, and there is nothing to lose."""
WAITING_REPLIES = 8
STDERR_LINES = 40


class Call:
    """One request and the replies to it that nobody has read yet."""

    def __init__(self, request: int) -> None:
        self.request = request
        self.cancelling = False
        self.over = Event()
        self.room = Event()
        self.room.set()
        self._replies: asyncio.Queue[Message | None] = asyncio.Queue()

    def put(self, reply: Message | None) -> None:
        """Hands over a reply; None after the last one of an engine that is gone."""
        self._replies.put_nowait(reply)
        if is_last(reply):
            self.over.set()
        # A slow reader holds the engine back, not memory. A cancelled call must reach its end, so it holds nothing.
        if self._replies.qsize() >= WAITING_REPLIES and not self.cancelling:
            self.room.clear()

    async def get(self) -> Message | None:
        """The next reply, waiting for it."""
        reply = await self._replies.get()
        if self._replies.qsize() < WAITING_REPLIES:
            self.room.set()
        return reply

    def cancel(self) -> None:
        """Marks the call as cancelled."""
        self.cancelling = True
        self.room.set()


class Link:
    """A running engine process.

    Attributes:
        hello: How it introduced itself.
        ended: Why it is gone, None while it is there.
        ended_by_us: Whether a cancel had to end it.
        on_end: Called once with the reason when it goes away unasked.
    """

    hello: Hello

    def __init__(self, target: Target, process: asyncio.subprocess.Process) -> None:
        self.ended: FlowtuiError | None = None
        self.ended_by_us = False
        self.exit_code: int | None = None
        self.on_end: Callable[[FlowtuiError], None] | None = None
        self._target = target
        self._process = process
        self._calls: dict[int, Call] = {}
        self._count = 0
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._said_hello: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._stderr_task = asyncio.create_task(self._keep_stderr())
        self._reader = asyncio.create_task(self._read())
        self._beat = asyncio.create_task(self._keep_beating()) if target.host else None

    @classmethod
    async def open(cls, target: Target) -> Link:
        """Starts an engine and waits for its greeting.

        Raises:
            EngineError: It cannot be started, ends at once, does not greet or speaks another version.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *target.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                # A group of its own: ctrl-C in the terminal is the client's to handle, and one signal ends it all.
                start_new_session=True,
                limit=1 << 20,
            )
        except OSError as error:
            raise EngineError(f"The engine cannot be started: {error}.") from error
        link = cls(target, process)
        try:
            await link._greet()
        except BaseException:
            await asyncio.shield(link.close(kill=True))
            raise
        return link

    def call(self) -> Call:
        """Opens a call; `forget` it when its last reply has been read."""
        self._count += 1
        call = self._calls[self._count] = Call(self._count)
        if self.ended is not None:
            call.put(None)
        return call

    def forget(self, call: Call) -> None:
        """Drops a call."""
        self._calls.pop(call.request, None)
        call.room.set()

    async def send(self, kind: str, /, **values: Any) -> None:
        """Sends a message. A dead engine is noticed by the reader, not here.

        Raises:
            ProtocolError: The message is outside the schema.
        """
        self._put(kind, **values)
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(ConnectionError):
            await stdin.drain()

    async def stop(self, call: Call, grace_s: float | None = None) -> None:
        """Cancels a call: asks, then SIGTERM, then SIGKILL of the process group. Returns when it is over.

        Args:
            call: The call.
            grace_s: How long the engine may take to heed it; None for `GRACE_S`.
        """
        call.cancel()
        if not call.over.is_set():
            self._put("cancel", id=call.request)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if await _happens(call.over, GRACE_S if grace_s is None else grace_s):
                return
            log.warning("the engine did not heed a cancel; sending %s", number.name)
            self.ended_by_us = True
            self._signal(number)
        await call.over.wait()

    async def close(self, *, kill: bool = False) -> None:
        """Ends the process: asks by closing its stdin, then SIGTERM, then SIGKILL. Never raises."""
        self.on_end = None
        if self._beat is not None:
            self._beat.cancel()
        if kill:
            self._signal(signal.SIGKILL)
        elif self.ended is None:
            self._put("bye")
        if self._process.stdin is not None:
            self._process.stdin.close()
        steps = ((LEAVE_GRACE_S, signal.SIGTERM), (GRACE_S, signal.SIGKILL), (GRACE_S, signal.SIGKILL))
        for grace_s, number in steps:
            # Replies that nobody will read must not keep the reader from the end of the stream.
            for call in self._calls.values():
                call.cancel()
            done, _ = await asyncio.wait((self._reader,), timeout=grace_s)
            if done:
                break
            self._signal(number)
        self._reader.cancel()
        self._stderr_task.cancel()
        await asyncio.wait((self._reader, self._stderr_task), timeout=GRACE_S)
        # A pipe that a grandchild still holds open would keep the transport, and a warning, until the very end.
        getattr(self._process, "_transport").close()  # noqa: B009

    def _put(self, kind: str, /, **values: Any) -> None:
        """Sends a message without waiting for it to leave: on a frozen line it never would."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(encode("client", kind, **values))

    async def _greet(self) -> None:
        await self.send("hello", protocol=PROTOCOL, flowtui=__version__, far=self._target.host is not None)
        done, _ = await asyncio.wait(
            (self._said_hello, self._reader), timeout=HELLO_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        if self._said_hello not in done:
            if self._reader in done and self.ended is not None:
                raise self.ended
            raise EngineError(f"The engine did not answer within {HELLO_TIMEOUT_S:.0f} s.")
        self.hello = read_hello(self._said_hello.result(), self._target.host)

    async def _keep_beating(self) -> None:
        """Lets a far engine hear that its client is there: a frozen line looks like a quiet one from there."""
        while self.ended is None:
            self._put("beat")
            await asyncio.sleep(BEAT_S)

    async def _read(self) -> None:
        """Hands replies to their calls until the stream ends, then says why it did."""
        stdout = self._process.stdout
        assert stdout is not None
        error: FlowtuiError | None = None
        try:
            while (message := await read_frame_async(stdout, "engine")) is not None:
                if message["type"] == "hello":
                    if not self._said_hello.done():
                        self._said_hello.set_result(message)
                elif message.get("id") is None:
                    raise_error(message)
                elif call := self._calls.get(message["id"]):
                    call.put(message)
                    await call.room.wait()
        except FlowtuiError as caught:
            error = caught
            if isinstance(caught, ProtocolError) and not self._said_hello.done() and self._target.host:
                caught.hint = (
                    f"Does a start-up file on {self._target.host} print something? ssh must stay silent there."
                )
        finally:
            if error is not None:
                self._signal(signal.SIGKILL)
            # A child of the engine may hold its stderr open: its last words get a moment, no more.
            self.exit_code = await self._process.wait()
            await asyncio.wait((self._stderr_task,), timeout=0.5)
            self._stderr_task.cancel()
            greeted = self._said_hello.done()
            self.ended = error or describe_end(self._target, self.exit_code, list(self._stderr), greeted=greeted)
            for call in list(self._calls.values()):
                call.put(None)
            if self.on_end is not None and not self.ended_by_us:
                self.on_end(self.ended)

    async def _keep_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        rest = ""
        while piece := await stderr.read(1 << 16):
            *lines, rest = re.split(r"[\r\n]+", rest + piece.decode(errors="replace"))
            rest = rest[-4096:]
            for line in filter(None, lines):
                log.debug("engine: %s", line)
                self._stderr.append(line[:4096])
        if rest:
            self._stderr.append(rest)

    def _signal(self, number: signal.Signals) -> None:
        # Only while the leader is not reaped: afterwards its number may belong to someone else.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


async def _happens(event: Event, within_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True
