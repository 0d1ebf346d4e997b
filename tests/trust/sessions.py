"""Commands on terminals of their own, and what is left of them afterwards."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.cache.store import LayerCache
from flowtui.engine.results import Run
from tests.e2e.terminal import Terminal
from tests.trust.promise import Trial

EXAMPLE = Path(__file__).parents[2] / "examples" / "presence.pkl"
MODES = (b"?1049", b"?25", b"?1000", b"?1003", b"?2004", b"?1004", b"?7")
"""Switched on with h and off with l, or the other way round for the cursor (25) and line wrap (7)."""
SETTINGS = re.compile(rb"[0-9a-f]+(?::[0-9a-f]+){20,}")
BUSY_S = 30.0
"""A limit in the short form, where the machine does other things: it finds what hangs, not what is slow."""


def limit(trial: Trial, promised_s: float, full: int) -> float:
    """How long something may take: as promised in a full run, and in any run of one case."""
    return promised_s if trial.only is not None or trial.count is None or trial.count >= full else BUSY_S


def environment(folder: Path, **own: str) -> dict[str, str]:
    """A user's environment with folders of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLOWTUI_", "XDG_", "PYTHON", "COV_", "NO_COLOR"))}
    folders = {"HOME": str(folder), "FLOWTUI_CACHE_DIR": str(folder / "cache")}
    always = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", "TMUX": "", "OMP_NUM_THREADS": "1"}
    return {**kept, **folders, **always, "HF_HUB_OFFLINE": "1", **own}


def run_without(path: Path, *analyses: str) -> Path:
    """A shipped run without some analyses, or without any, for a computation to fill in."""
    run = Run.from_plain(read_plain(EXAMPLE))
    kept = {name: a for name, a in run.analyses.items() if analyses and name not in analyses}
    write_plain(path, replace(run, analyses=kept).to_plain())
    return path


def missing_of(path: Path, analysis: str) -> tuple[int, ...]:
    """Layers that a run file lacks."""
    return Run.from_plain(read_plain(path)).missing(analysis)


@contextmanager
def session(folder: Path, env: dict[str, str], *command: object) -> Iterator[Terminal]:
    """A command between two looks at the terminal's settings, in a shell that outlives Ctrl-C."""
    words = " ".join(f"'{word}'" for word in command)
    script = f"trap : INT; stty -g; {words}; code=$?; stty -g; exit $code"
    terminal = Terminal(["sh", "-c", script], env, folder)
    try:
        yield terminal
    finally:
        family = family_of(terminal.pid)
        terminal.close()
        for process in family:
            kill(process)


def not_restored(terminal: Terminal, *, full_screen: bool = True) -> str:
    """What is not as it was before the command, or ""."""
    settings = SETTINGS.findall(terminal.raw)
    if len(settings) != 2 or settings[0] != settings[1]:
        return f"the terminal's settings were {settings}"
    for mode in MODES if full_screen else (b"?25",):
        on, off = (b"l", b"h") if mode in (b"?25", b"?7") else (b"h", b"l")
        if terminal.raw.rfind(b"\x1b[" + mode + on) > terminal.raw.rfind(b"\x1b[" + mode + off):
            return f"mode {mode.decode()} was left on"
    return "a traceback was shown" if b"Traceback" in terminal.raw else ""


def family_of(pid: int) -> list[psutil.Process]:
    """The descendants of a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def engine_of(terminal: Terminal) -> psutil.Process | None:
    """The engine that a command has started here."""
    for process in family_of(terminal.pid):
        try:
            if "flowtui.engine.process" in process.cmdline():
                return process
        except psutil.Error:
            continue
    return None


def there(process: psutil.Process) -> bool:
    """Whether a process is alive."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def kill(process: psutil.Process) -> None:
    """Kills a process that may be gone."""
    with suppress(psutil.Error):
        process.kill()


def wait_until(met: Callable[[], bool], within_s: float) -> float | None:
    """Seconds until a condition is met; None where it is not in time."""
    start = time.monotonic()
    while not met():
        if time.monotonic() - start > within_s:
            return None
        time.sleep(0.01)
    return time.monotonic() - start


def bad_entries(folder: Path) -> int:
    """What `flowtui cache verify` finds in a user's cache."""
    with LayerCache.open(folder / "cache" / "layers") as cache:
        report = cache.verify()
    return len(report.bad) + bool(report.index)
