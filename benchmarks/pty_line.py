"""A program in a real pseudo-terminal, watched through a line of a given speed: what it wrote, and when it came out."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

CELL_PX = (9, 18)
CHUNK_BYTES = 1 << 16
TICK_S = 0.004
"""A slow line hands over what it can carry in this time at once."""


@dataclass(frozen=True, slots=True)
class Speed:
    """A line.

    Attributes:
        bytes_per_s: None for one as fast as the machine.
        buffered: The line takes everything at once and delivers it later, as ssh does with its window; else the program
            has to wait until there is room, as on a serial line.
    """

    bytes_per_s: float | None = None
    buffered: bool = False


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes that came out of the line together.

    Attributes:
        at: When, on the monotonic clock.
        data: What.
    """

    at: float
    data: bytes


class Watched:
    """A program on a screen.

    Args:
        command: Program and arguments.
        env: Its environment.
        columns, lines: Of the screen.
        speed: Of the line.
        kitty: Whether the terminal says that it knows kitty's graphics.

    Attributes:
        began: When the program was started, on the monotonic clock.
        chunks: All that came out.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        columns: int = 120,
        lines: int = 40,
        speed: Speed | None = None,
        kitty: bool = False,
    ) -> None:
        self.columns, self.lines = columns, lines
        self.chunks: list[Chunk] = []
        self._speed = speed or Speed()
        self._kitty = kitty
        self._waiting: deque[bytes] = deque()
        self._tail = b""
        self._ended = False
        self._free_at = 0.0
        self._master, slave = pty.openpty()
        width_px, height_px = columns * CELL_PX[0], lines * CELL_PX[1]
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, width_px, height_px))
        os.set_blocking(self._master, False)
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, env=dict(env), stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True
        )
        os.close(slave)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cpu_s(self) -> float:
        """CPU time of the program so far, all its threads together."""
        # The kernel's clock id of another process's CPU time, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def send(self, keys: bytes) -> float:
        """Types; returns when."""
        at = time.monotonic()
        os.write(self._master, keys)
        return at

    def watch(self, seconds: float) -> None:
        """Lets the line run for a while."""
        end = time.monotonic() + seconds
        while not self._ended and (left := end - time.monotonic()) > 0:
            self._run_line(left)

    def settle(self, quiet_s: float, most_s: float = 10, *, since: int | None = None) -> int:
        """Lets the line run until nothing has come out of it for a while.

        Args:
            quiet_s: How long nothing has to come.
            most_s: Give up after this.
            since: Wait for something after this many chunks first; None for no wait.

        Returns:
            Number of chunks so far.
        """
        end = time.monotonic() + most_s
        while not self._ended:
            now = time.monotonic()
            if now > end:
                raise TimeoutError(f"the program did not come to rest; it shows:\n{self.text}")
            came = since is None or len(self.chunks) > since
            last = self.chunks[-1].at if self.chunks else self.began
            if came and not self._waiting and now - last >= quiet_s:
                break
            self._run_line(min(quiet_s, end - now))
        if self._ended:
            raise EOFError(f"the program has ended; it showed:\n{self.text}")
        return len(self.chunks)

    def bytes_from(self, chunk: int) -> int:
        """Bytes that came out from a chunk on."""
        return sum(len(one.data) for one in self.chunks[chunk:])

    @property
    def screen(self) -> pyte.Screen:
        """The screen as a terminal shows it now."""
        return self.screen_after(len(self.chunks))

    @property
    def text(self) -> str:
        """The screen's text."""
        return "\n".join(self.screen.display)

    def screen_after(self, chunks: int) -> pyte.Screen:
        """The screen after some chunks."""
        screen = pyte.Screen(self.columns, self.lines)
        stream = pyte.ByteStream(screen)
        stream.feed(drawable(b"".join(one.data for one in self.chunks[:chunks])))
        return screen

    def complete_at(self) -> float:
        """When the screen was first as it is now, on the monotonic clock."""
        final, low, high = state(self.screen), 0, len(self.chunks)
        # From the end: what is as it is now stays so, except where something was drawn twice on the way.
        while high > low and state(self.screen_after(high - 1)) == final:
            high -= 1
        return self.chunks[high - 1].at

    def close(self) -> None:
        """Quits the program."""
        if self.process.poll() is None:
            self.send(b"q")
            end = time.monotonic() + 5
            while self.process.poll() is None and time.monotonic() < end:
                self.watch(0.05)
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)

    def _run_line(self, most_s: float) -> None:
        """Takes what the program wrote and delivers what the line can carry, for at most some time."""
        rate = self._speed.bytes_per_s
        now = time.monotonic()
        if self._waiting and now >= self._free_at:
            self._deliver(self._waiting.popleft())
            return
        wait = min(most_s, max(0.0, self._free_at - now)) if self._waiting else most_s
        if rate is not None and not self._speed.buffered and now < self._free_at:
            time.sleep(min(most_s, self._free_at - now))
            return
        ready, _, _ = select.select([self._master], [], [], wait)
        if not ready:
            return
        try:
            data = os.read(self._master, CHUNK_BYTES if rate is None or self._speed.buffered else int(rate * TICK_S))
        except OSError:
            data = b""
        if not data:
            self._ended = True
        elif self._speed.buffered and rate is not None:
            step = int(rate * TICK_S)
            if not self._waiting:
                self._free_at = max(self._free_at, time.monotonic() + min(len(data), step) / rate)
            self._waiting.extend(data[i : i + step] for i in range(0, len(data), step))
        else:
            self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        now = time.monotonic()
        self.chunks.append(Chunk(now, data))
        rate = self._speed.bytes_per_s
        if rate is not None:
            following = len(self._waiting[0]) if self._waiting else len(data)
            self._free_at = max(self._free_at, now - TICK_S) + following / rate
        self._answer(data)

    def _answer(self, data: bytes) -> None:
        """Answers what the program asks the terminal, as soon as the question has come through."""
        text = self._tail + data
        end = 0
        for match in QUERY.finditer(text):
            end = match.end()
            reply = self._reply(match)
            if reply:
                os.write(self._master, reply)
        self._tail = text[max(end, len(text) - 64) :]

    def _reply(self, match: re.Match[bytes]) -> bytes:
        query = match.group()
        mode = match.group("mode")
        if mode is not None:
            return b"\x1b[?%b;%d$y" % (mode, 2 if mode == b"2026" else 0)
        if match.group("kitty") is not None:
            return b"\x1b_Gi=%b;OK\x1b\\" % match.group("kitty") if self._kitty else b""
        return {
            b"\x1b[c": b"\x1b[?62;22c",
            b"\x1b[0c": b"\x1b[?62;22c",
            b"\x1b[5n": b"\x1b[0n",
            b"\x1b[6n": b"\x1b[1;1R",
            b"\x1b[14t": b"\x1b[4;%d;%dt" % (self.lines * CELL_PX[1], self.columns * CELL_PX[0]),
            b"\x1b[16t": b"\x1b[6;%d;%dt" % (CELL_PX[1], CELL_PX[0]),
            b"\x1b[18t": b"\x1b[8;%d;%dt" % (self.lines, self.columns),
        }.get(query, b"\x1bP>|watched(1)\x1b\\")


QUERY = re.compile(
    rb"\x1b\[(?:0?c|[56]n|1[468]t|>0?q|\?(?P<mode>\d+)\$p)|\x1b_G[^\x1b]*?i=(?P<kitty>\d+)[^\x1b]*a=q[^\x1b]*\x1b\\"
)
"""Device attributes, status, cursor, sizes, name and version, modes, kitty's graphics."""

STRINGS = re.compile(rb"\x1b[_P\]X^].*?(?:\x1b\\|\x07)|\x1b\[[<>=][\d;]*[a-zA-Z]|\x1b\[\?\d+\$p", re.DOTALL)
"""What a terminal takes in and does not show; pyte would show some of it."""


def drawable(data: bytes) -> bytes:
    """Output without what pyte does not know."""
    return STRINGS.sub(b"", data)


def state(screen: pyte.Screen) -> list[list[object]]:
    """Everything that a screen shows: characters, colours and weights."""
    return [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]


def user_env(home: Path) -> dict[str, str]:
    """The environment of a user with a good terminal and a home of its own."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("FLOWTUI_", "XDG_", "TEXTUAL", "NO_COLOR", "TMUX"))
    }
    own = {"HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
    return {**kept, **own, "FLOWTUI_CACHE_DIR": str(home / "cache")}
