"""However the explorer ends, the terminal is as it was."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flowtui.cache.runfile import write_plain
from tests.e2e.terminal import COMMAND, Open, Terminal
from tests.factories import random_run

MODES = ((b"?1049h", b"?1049l"), (b"?25l", b"?25h"), (b"?1000h", b"?1000l"), (b"?1003h", b"?1003l"),
         (b"?2004h", b"?2004l"), (b"?1004h", b"?1004l"), (b"?7l", b"?7h"))  # fmt: skip
"""What is switched on and off: other screen, hidden cursor, mouse twice, pasting, focus, no line wrap."""

BROKEN = """
import sys
from flowtui.tui.cli import entry
from flowtui.tui.explorer.{module} import {cls}

def fail(self, *_, **__):
    raise RuntimeError("a defect")

{cls}.{name} = fail
sys.argv[1:] = {arguments!r}
entry.main()
"""


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.pkl"
    write_plain(path, random_run().to_plain())
    return path


def start(terminal: Open, *command: object, before: str = "") -> Terminal:
    """Runs a command between two looks at the terminal's settings, and waits for the explorer's first screen."""
    words = " ".join(f"'{word}'" for word in command)
    screen = terminal("sh", "-c", f"{before}stty -g; {words}; code=$?; stty -g; exit $code")
    screen.wait_for(lambda text: "q quit" in text)
    return screen


def explorer_of(screen: Terminal) -> psutil.Process:
    """The process under the shell."""
    (found,) = psutil.Process(screen.pid).children()
    return found


def assert_restored(screen: Terminal) -> None:
    settings = re.findall(rb"[0-9a-f]+(?::[0-9a-f]+){20,}", screen.raw)
    assert len(settings) == 2
    assert settings[0] == settings[1]
    for on, off in MODES:
        assert screen.raw.rfind(b"\x1b[" + off) > screen.raw.rfind(b"\x1b[" + on) >= 0, (on, off)
    assert b"Traceback" not in screen.raw


@pytest.mark.parametrize(("keys", "code"), [("q", 0), ("\x03", 0), ("?q q", 0)])
def test_by_key(terminal: Open, made_up: Path, keys: str, code: int) -> None:
    screen = start(terminal, COMMAND, made_up)
    for key in keys.split():
        screen.send(key)
    assert screen.wait_for_end() == code
    assert_restored(screen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_by_signal(terminal: Open, made_up: Path, number: signal.Signals) -> None:
    screen = start(terminal, COMMAND, made_up)
    explorer_of(screen).send_signal(number)
    assert screen.wait_for_end() == 128 + number
    assert_restored(screen)


@pytest.mark.parametrize("shell_keeps_the_signal", [False, True])
def test_the_terminal_is_gone(terminal: Open, made_up: Path, shell_keeps_the_signal: bool) -> None:
    screen = start(terminal, COMMAND, made_up, before="trap '' HUP; " if shell_keeps_the_signal else "")
    explorer = explorer_of(screen)
    screen.hang_up()
    _, alive = psutil.wait_procs([explorer], timeout=10)
    assert not alive


@pytest.mark.parametrize("by_key", [True, False])
def test_suspend_and_resume(terminal: Open, made_up: Path, by_key: bool) -> None:
    screen = start(terminal, COMMAND, made_up)
    explorer = explorer_of(screen)
    screen.send("gll")
    screen.wait_for(lambda text: "layer 2/11" in text)
    if by_key:
        screen.send("\x1a")
        wait_for(lambda: [explorer] if explorer.status() == psutil.STATUS_STOPPED else [])
        assert screen.read_rest().rfind(b"\x1b[?1049l") > screen.raw.rfind(b"\x1b[?1049h")
    else:
        explorer.send_signal(signal.SIGSTOP)
        wait_for(lambda: [explorer] if explorer.status() == psutil.STATUS_STOPPED else [])
    screen.screen.reset()
    explorer.send_signal(signal.SIGCONT)
    screen.wait_for(lambda text: "layer 2/11" in text and "q quit" in text)
    screen.send("l")
    screen.wait_for(lambda text: "layer 3/11" in text)
    screen.send("q")
    assert screen.wait_for_end() == 0
    assert_restored(screen)


def test_an_action_that_fails_is_a_toast(terminal: Open, made_up: Path, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    names = {"module": "moving", "cls": "Moving", "name": "action_cliff", "arguments": ["explore", str(made_up)]}
    script.write_text(BROKEN.format(**names))
    screen = start(terminal, sys.executable, script)
    screen.send("c")
    screen.wait_for(lambda text: "That did not work: RuntimeError" in text)
    screen.send("gl")
    screen.wait_for(lambda text: "layer 1/11" in text)
    screen.send("q")
    assert screen.wait_for_end() == 0
    assert_restored(screen)


def test_a_defect_in_drawing_is_one_line(terminal: Open, made_up: Path, tmp_path: Path, home: Path) -> None:
    script = tmp_path / "broken.py"
    names = {"module": "headsview", "cls": "HeadsPanel", "name": "draw", "arguments": ["explore", str(made_up)]}
    script.write_text(BROKEN.format(**names))
    screen = start(terminal, sys.executable, script)
    screen.send("3")
    assert screen.wait_for_end() == 1
    assert_restored(screen)
    last = screen.raw[screen.raw.rfind(b"\x1b[?1049l") :].decode()
    assert "Something went wrong that should not have: RuntimeError." in last
    log = re.search(r"Details are in (\S+)", last)
    assert log is not None
    assert "a defect" in Path(log[1]).read_text()


def test_a_killed_engine_is_a_toast(terminal: Open, tmp_path: Path) -> None:
    path = tmp_path / "part.pkl"
    write_plain(path, random_run(analyses=("attention",)).to_plain())
    screen = start(terminal, COMMAND, path)
    screen.send("r")
    explorer = explorer_of(screen)
    engine, *_ = wait_for(lambda: [p for p in explorer.children() if "flowtui.engine.process" in p.cmdline()])
    screen.wait_for(lambda text: "Esc cancels" in text)
    engine.kill()
    screen.wait_for(lambda text: "Computing failed" in text)
    screen.send("q")
    assert screen.wait_for_end() == 0
    assert_restored(screen)


def wait_for(found: Callable[[], list[psutil.Process]], most_s: float = 60) -> list[psutil.Process]:
    end = time.monotonic() + most_s
    while not (processes := found()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return processes
