"""With something in between: tmux, which draws no pictures, and ssh, which lets them through."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyte
import pytest

from flowtui.tui.draw.fields import blend
from tests.e2e.terminal import COMMAND
from tests.terminals.conftest import Open
from tests.terminals.expected import distance, draw, part, placed_maps
from tests.terminals.screens import wait_until

SIXEL = b"\x1bP0;1;0q"
COLUMNS, LINES = 100, 32
pytestmark = pytest.mark.timeout(300)


class Tmux:
    """A tmux of its own with one window."""

    def __init__(self, folder: Path, *command: object) -> None:
        self._socket = str(folder / "socket")
        self.out = folder / "out"
        env = {
            **os.environ,
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
        }
        for name in [name for name in env if name.startswith(("FLOWTUI_", "XDG_")) or name in ("TMUX", "NO_COLOR")]:
            del env[name]
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        # Waits until all that is written is kept.
        inside = f"sleep 1; {shlex.join(map(str, command))}; sleep 600"
        subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", "new-session", "-d", *size, inside], env=env, check=True
        )
        self("pipe-pane", "-o", f"cat >> {shlex.quote(str(self.out))}")

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def text(self) -> str:
        """The screen."""
        return self("capture-pane", "-p")


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[type[Tmux]]:
    if shutil.which("tmux") is None:
        pytest.skip("not installed here: tmux")
    opened = []

    class Kept(Tmux):
        def __init__(self, *command: object) -> None:
            super().__init__(tmp_path, *command)
            opened.append(self)

    yield Kept
    for one in opened:
        one("kill-server")


async def test_tmux_gets_half_blocks(tmux: type[Tmux], run_file: Path) -> None:
    inside = tmux(COMMAND, run_file)
    wait_until(lambda: "q quit" in inside.text, "the explorer")
    time.sleep(1)
    screen = pyte.Screen(COLUMNS, LINES)
    pyte.Stream(screen).feed(inside("capture-pane", "-p", "-e").replace("\n", "\r\n").rstrip("\r\n"))
    ((placed, (left, top)),) = await placed_maps(run_file, "", (COLUMNS, LINES), (10, 20))
    width, height = placed.size
    seen = np.zeros((2 * height, width, 3), dtype=np.uint8)
    for y in range(height):
        for x in range(width):
            cell = screen.buffer[top + y][left + x]
            assert cell.data == "▀"
            seen[2 * y, x] = list(bytes.fromhex(cell.fg))
            seen[2 * y + 1, x] = list(bytes.fromhex(cell.bg))
    canvas = placed.painter.canvas((width, 2 * height), placed.background)
    assert placed.heat is not None
    wanted = blend(canvas.rgb, placed.painter.field(canvas, placed.heat), placed.opacity / 100, placed.palette)
    found = distance(seen, wanted)
    assert found.mean < 3, found
    assert found.bad == 0, found
    assert SIXEL not in inside.out.read_bytes()


def test_a_window_of_tmux_that_has_grown_is_left_as_it_was(tmux: type[Tmux], run_file: Path) -> None:
    inside = tmux(COMMAND, run_file)
    wait_until(lambda: "q quit" in inside.text, "the explorer")
    inside("resize-window", "-x", str(COLUMNS + 20), "-y", str(LINES + 6))
    wait_until(lambda: "q quit" in "".join(inside.text.splitlines()[LINES + 5 :]), "the larger explorer")
    inside("send-keys", "q")
    wait_until(lambda: "cliff" not in inside.text, "the end")
    assert not inside.text.strip()


def test_tmux_gets_what_is_asked_for(tmux: type[Tmux], run_file: Path) -> None:
    inside = tmux(COMMAND, run_file, "--graphics", "sixel")
    wait_until(lambda: inside.out.exists() and SIXEL in inside.out.read_bytes(), "sixel")


def test_doctor_inside_tmux_says_why(tmux: type[Tmux]) -> None:
    inside = tmux(COMMAND, "doctor")
    wait_until(lambda: "halfblock" in inside("capture-pane", "-p", "-S", "-100"), "the report")
    assert "tmux is in between" in inside("capture-pane", "-p", "-S", "-100")


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """The beginning of a command that goes through a real sshd on this machine."""
    sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if sshd is None or shutil.which("ssh-keygen") is None:
        pytest.skip("not installed here: sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nPidFile none\n"
        f"HostKey {tmp_path / 'host'}\nAuthorizedKeysFile {tmp_path / 'user.pub'}\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
    )
    with (tmp_path / "sshd.log").open("wb") as log:
        server = subprocess.Popen([sshd, "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log)
    try:
        options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={tmp_path / 'known'}", "LogLevel=ERROR"]
        base = ["ssh", "-F", "none", "-tt", "-p", str(port), "-i", str(tmp_path / "user")]
        base += [part for option in options for part in ("-o", option)]

        def answers() -> bool:
            assert server.poll() is None, (tmp_path / "sshd.log").read_text()
            with socket.socket() as there:
                return there.connect_ex(("127.0.0.1", port)) == 0

        wait_until(answers, "sshd")
        yield [*base, f"{getpass.getuser()}@127.0.0.1"]
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize("name", ["xterm", "kitty"])
async def test_pixels_come_through_ssh(
    terminal: Open, ssh: list[str], run_file: Path, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "far"
    home.mkdir()
    far = ["env", f"HOME={home}", f"XDG_STATE_HOME={home}", "LC_ALL=C.UTF-8", str(COMMAND), str(run_file)]
    screen = terminal(name, *ssh, shlex.join(far))
    seen, cell, size = screen.settled(quiet_s=2), screen.cell_px, screen.size
    ((placed, at),) = await placed_maps(run_file, "", (size["columns"], size["lines"]), cell)
    wanted = draw(placed, cell)
    found = distance(part(seen, at, wanted, cell), wanted)
    assert found.mean < 5, found
    assert found.bad < 0.005, found
    screen.send("q")
    wait_until(lambda: screen.code is not None, "the end")
    assert screen.code == 0
