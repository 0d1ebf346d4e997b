"""Real terminals on screens that nobody sees: what they draw, as pixels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NOBODY = 65534
FONT = "-misc-fixed-medium-r-normal--15-140-75-75-c-90-iso10646-1"
RELAY = Path(__file__).with_name("relay.py")
OUTER = ("TERM", "COLORTERM", "TMUX", "STY", "NO_COLOR", "DISPLAY", "WAYLAND_DISPLAY")
"""What a terminal sets itself, or must not know of."""
NEEDS = {
    "xterm": ("Xvfb", "xterm", "import"),
    "kitty": ("Xvfb", "kitty", "import"),
    "foot": ("cage", "foot", "grim"),
}
"""Terminal -> programs that have to be installed."""


def missing_for(terminal: str) -> list[str]:
    """Which of the programs are not there."""
    return [name for name in NEEDS[terminal] if shutil.which(name) is None]


def wait_until(true: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    """Waits until something is so."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.05)


class Screen:
    """A terminal with a program in it.

    Attributes:
        terminal: xterm, kitty or foot.
        columns, lines: Its size in cells.
        cell_px: (width, height) of a cell.
    """

    def __init__(
        self,
        terminal: str,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        columns: int = 100,
        lines: int = 32,
    ) -> None:
        self.terminal = terminal
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self._env = {
            k: v for k, v in env.items() if k not in ("TERM", "TMUX", "DISPLAY", "WAYLAND_DISPLAY", "COLORTERM")
        }
        self._runtime: Path | None = None
        os.mkfifo(folder / "keys")
        inside = [sys.executable, str(RELAY), str(folder), *command]
        try:
            if terminal == "foot":
                self._start_foot(inside)
            else:
                self._start_on_x(inside, columns, lines)
            wait_until((folder / "size.json").exists, f"{terminal}'s size")
            self._keys = os.open(folder / "keys", os.O_WRONLY)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> dict[str, int]:
        """columns, lines, width_px and height_px as the program sees them."""
        found: dict[str, int] = json.loads((self._folder / "size.json").read_text())
        return found

    @property
    def cell_px(self) -> tuple[int, int]:
        """(width, height) of a cell."""
        size = self.size
        return size["width_px"] // size["columns"], size["height_px"] // size["lines"]

    @property
    def sent(self) -> bytes:
        """All that the program has written."""
        return (self._folder / "sent.bin").read_bytes()

    @property
    def code(self) -> int | None:
        """The program's exit code, once it has ended."""
        path = self._folder / "code"
        return int(path.read_text()) if path.exists() and path.read_text() else None

    def send(self, keys: str) -> None:
        """Types."""
        os.write(self._keys, keys.encode())

    def tell(self, sequence: str) -> None:
        """Writes to the terminal, past the program."""
        os.write(self._keys, b"\0" + sequence.encode())

    @property
    def pid(self) -> int:
        """The program's process."""
        return int((self._folder / "pid").read_text())

    def look(self) -> NDArray[np.uint8]:
        """The screen now: [height width 3] uint8, the first cell at the top left."""
        path = self._folder / "look.png"
        if self.terminal == "foot":
            subprocess.run(["grim", str(path)], env=self._env, check=True, capture_output=True)
        else:
            subprocess.run(["import", "-window", "root", str(path)], env=self._env, check=True, capture_output=True)
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))

    def settled(self, quiet_s: float = 1.0, timeout_s: float = 30) -> NDArray[np.uint8]:
        """The screen once the program has been silent and two looks are the same."""
        end = time.monotonic() + timeout_s
        before, length = None, -1
        while time.monotonic() < end:
            time.sleep(quiet_s)
            now, sent = self.look(), len(self.sent)
            if before is not None and sent == length and np.array_equal(before, now):
                return now
            before, length = now, sent
        raise AssertionError(f"{self.terminal} never came to rest")

    def close(self) -> None:
        """Ends the terminal and its screen."""
        for child in reversed(self._children):
            try:
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(5)
            except ProcessLookupError:
                pass
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)

    def _start(self, command: Sequence[str], *, keep: tuple[int, ...] = (), **more: str) -> None:
        with (self._folder / f"{command[0]}.log").open("wb") as log:
            self._children.append(
                subprocess.Popen(
                    command,
                    env={**self._env, **more},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=keep,
                )
            )

    def _start_on_x(self, inside: Sequence[str], columns: int, lines: int) -> None:
        read, write = os.pipe()
        screen = ["-screen", "0", "1400x1000x24", "-nolisten", "tcp"]
        self._start(["Xvfb", "-displayfd", str(write), *screen], keep=(write,))
        os.close(write)
        with os.fdopen(read) as numbers:
            self._env["DISPLAY"] = f":{numbers.readline().strip()}"
        if self.terminal == "xterm":
            resources = ("decTerminalID: vt340", "numColorRegisters: 256", "cursorBlink: false", "allowWindowOps: true")
            options = [part for resource in resources for part in ("-xrm", f"xterm*{resource}")]
            options += ["-ti", "vt340", "-tn", "xterm-256color", "-u8", "-fn", FONT, "-b", "0", "-bw", "0", "+sb",
                        "-bg", "black", "-fg", "white", "-geometry", f"{columns}x{lines}+0+0"]  # fmt: skip
            self._start(["xterm", *options, "-e", *inside], COLORTERM="truecolor")
            return
        values = {
            "initial_window_width": f"{columns}c", "initial_window_height": f"{lines}c", "window_padding_width": "0",
            "remember_window_size": "no", "placement_strategy": "top-left", "cursor_blink_interval": "0",
            "update_check_interval": "0", "hide_window_decorations": "yes", "shell_integration": "disabled",
            "confirm_os_window_close": "0", "window_border_width": "0", "draw_minimal_borders": "yes",
        }  # fmt: skip
        overrides = [part for name, value in values.items() for part in ("--override", f"{name}={value}")]
        self._start(["kitty", "--config", "NONE", *overrides, *inside], LIBGL_ALWAYS_SOFTWARE="1")

    def _start_foot(self, inside: Sequence[str]) -> None:
        # Away from the test's own folder, which another user cannot enter.
        runtime = Path(tempfile.mkdtemp(prefix="flowtui-"))
        self._runtime = runtime
        self._env["XDG_RUNTIME_DIR"] = str(runtime)
        # The compositor refuses to be root; the terminal in it may be.
        as_user = []
        if os.geteuid() == 0:
            os.chown(runtime, NOBODY, NOBODY)
            as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self._start(
            [*as_user, "cage", "--", "sleep", "infinity"],
            WLR_BACKENDS="headless", WLR_RENDERER="pixman", WLR_LIBINPUT_NO_DEVICES="1",
        )  # fmt: skip
        wait_until(lambda: list(runtime.glob("wayland-?")), "the compositor")
        self._env["WAYLAND_DISPLAY"] = next(iter(runtime.glob("wayland-?"))).name
        self._start(["foot", "--config=/dev/null", "-o", "pad=0x0", "-o", "cursor.blink=no", *inside])
