"""A real pseudo-terminal with a program in it, and the screen that it draws."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte

COMMAND = Path(sys.executable).with_name("flowtui")
Call = Callable[..., "subprocess.CompletedProcess[str]"]


class Terminal:
    """A program on a screen of a fixed size. Everything it writes is interpreted as a terminal would."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path, columns: int = 80, lines: int = 24
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._child = pexpect.spawn(
            command[0], list(command[1:]), env=dict(env), cwd=str(cwd), dimensions=(lines, columns), timeout=60
        )
        self._child.delaybeforesend = None

    @property
    def pid(self) -> int:
        """The program's process id."""
        return int(self._child.pid)

    @property
    def text(self) -> str:
        """The screen as lines of text."""
        return "\n".join(self.screen.display)

    def wait_for(self, seen: Callable[[str], bool], timeout_s: float = 200) -> str:
        """Reads until the screen satisfies a condition; returns it."""
        end = time.monotonic() + timeout_s
        while not seen(self.text):
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                state = "runs" if self._child.isalive() else "has ended"
                raise AssertionError(
                    f"the screen never came; the program {state}; it shows:\n{self.text.rstrip()}\n"
                    f"its last words: {self.raw[-500:]!r}"
                )
        return self.text

    def send(self, keys: str) -> None:
        """Types."""
        self._child.send(keys)

    def interrupt(self) -> None:
        """Types Ctrl-C."""
        self._child.sendintr()

    def resize(self, columns: int, lines: int) -> None:
        """Gives the window another size."""
        self.screen.resize(lines, columns)
        self._child.setwinsize(lines, columns)

    def read_rest(self) -> bytes:
        """Takes in what the program has written by now; returns all that it has written."""
        while self._read(0.2):
            pass
        return self.raw

    def read_some(self, timeout_s: float) -> bool:
        """Takes in what comes within a time; False where nothing does."""
        return self._read(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the program is there."""
        return bool(self._child.isalive())

    def hang_up(self) -> None:
        """Closes the terminal under the program, as a connection that breaks does."""
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, self._child.child_fd)
        os.close(nothing)

    def wait_for_end(self, timeout_s: float = 200) -> int:
        """Reads until the program has ended; returns its exit code, or minus the signal that ended it."""
        end = time.monotonic() + timeout_s
        while self._read(max(0.0, end - time.monotonic())):
            assert time.monotonic() < end, f"the program did not end; the screen shows:\n{self.text}"
        # The terminal's end comes a moment before the program's own; closing now would hang up on it.
        while self._child.isalive():
            assert time.monotonic() < end, f"the program left its terminal but did not end; it showed:\n{self.text}"
            time.sleep(0.01)
        self._child.close()
        return self._child.exitstatus if self._child.exitstatus is not None else -(self._child.signalstatus or 0)

    def close(self) -> None:
        """Ends the program if it is still there."""
        self._child.close(force=True)

    def _read(self, timeout_s: float) -> bool:
        """Takes in what comes next; False at the end of the program or of the time."""
        try:
            data = self._child.read_nonblocking(1 << 16, timeout_s)
        except (pexpect.EOF, pexpect.TIMEOUT):
            return False
        self.raw += data
        self._stream.feed(data)
        return True


Open = Callable[..., Terminal]
