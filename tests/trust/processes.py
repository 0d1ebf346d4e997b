"""Processes that are interrupted, killed or out of memory: the person at the terminal is never left without it."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psutil

from tests.e2e.terminal import COMMAND, Terminal
from tests.trust import sessions
from tests.trust.promise import Promise, Trial
from tests.trust.sessions import environment, limit, missing_of, run_without, session, there, wait_until

PROMPT_S = 2.0
ENGINE_S = 1.0
LATEST_S = 4.0
"""So long after computing has begun a case may still strike; the shipped model needs longer for everything."""

INTERRUPTS, KILLS, FAILURES, LOOKS = 200, 100, 60, 20

FAILING = Path(__file__).with_name("failing_engine.py")
FAILURE_WORDS = {"cuda": "CUDA error", "memory": "bytes are free", "killed": "SIGKILL"}


def _interrupt(trial: Trial) -> None:
    for what in ("interrupts", "late prompts", "terminals changed", "engines left", "damaged entries", "ms at most"):
        trial.add(what, 0)
    # A shell starts what runs in its background deaf to Ctrl-C, and every child would be so too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for case in trial.cases():
        _one_interrupt(trial, case)


def _one_interrupt(trial: Trial, case: int) -> None:
    """Ctrl-C into a command or the explorer, somewhere in a computation."""
    rng = trial.rng(case)
    explorer, wait_s = rng.random() < 0.5, rng.uniform(0, LATEST_S)
    folder = _folder(trial, case)
    path = run_without(folder / "run.pkl")
    command = (COMMAND, path) if explorer else (COMMAND, "precompute", path)
    with session(folder, environment(folder), *command) as terminal:
        if explorer:
            terminal.wait_for(lambda text: "q quit" in text)
            terminal.send("r")
        terminal.wait_for(lambda text: "loading the model" in text or "looking at" in text)
        _read_for(terminal, wait_s)
        engine = sessions.engine_of(terminal)
        start = time.monotonic()
        terminal.interrupt()
        code = terminal.wait_for_end()
        took_s = time.monotonic() - start
        wrong = sessions.not_restored(terminal, full_screen=explorer)
    trial.add("interrupts")
    trial.most("ms at most", 1000 * took_s)
    if took_s > limit(trial, PROMPT_S, INTERRUPTS):
        trial.add("late prompts")
        trial.fail(case, f"the prompt was back after {took_s:.1f} s; Ctrl-C came {wait_s:.1f} s into {command[1:]}")
    if code not in (0, 130):
        trial.fail(case, f"it ended with {code}:\n{terminal.text}")
    if wrong:
        trial.add("terminals changed")
        trial.fail(case, wrong)
    if engine is not None and wait_until(lambda: not there(engine), limit(trial, ENGINE_S, INTERRUPTS)) is None:
        trial.add("engines left")
        trial.fail(case, "the engine was left")
    if bad := sessions.bad_entries(folder):
        trial.add("damaged entries", bad)
        trial.fail(case, f"{bad} cache entries are damaged")


def _kill(trial: Trial) -> None:
    for what in ("kills", "engines left", "ms at most"):
        trial.add(what, 0)
    for case in trial.cases():
        _one_kill(trial, case)


def _one_kill(trial: Trial, case: int) -> None:
    """SIGKILL to the explorer, somewhere in a computation."""
    folder = _folder(trial, case)
    path = run_without(folder / "run.pkl")
    with session(folder, environment(folder), COMMAND, path) as terminal:
        terminal.wait_for(lambda text: "q quit" in text)
        terminal.send("r")
        engine = _engine_soon(terminal)
        _read_for(terminal, trial.rng(case).uniform(0, LATEST_S))
        (explorer,) = psutil.Process(terminal.pid).children()
        explorer.send_signal(signal.SIGKILL)
        trial.add("kills")
        took_s = wait_until(lambda: not there(engine), limit(trial, ENGINE_S, KILLS))
        if took_s is None:
            trial.add("engines left")
            trial.fail(case, "the engine outlived the explorer")
        else:
            trial.most("ms at most", 1000 * took_s)


def _fail(trial: Trial) -> None:
    for what in ("failures", "explorers that ended", "silent failures", "requests refused afterwards"):
        trial.add(what, 0)
    for case in trial.cases():
        _one_failure(trial, case, tuple(FAILURE_WORDS)[case % len(FAILURE_WORDS)])


def _one_failure(trial: Trial, case: int, kind: str) -> None:
    """An engine that is killed, whose memory is short or whose device fails: said, and the next request works."""

    def failed(text: str) -> bool:
        words = " ".join(text.split())
        return "Computing failed" in words and all(word in words for word in FAILURE_WORDS[kind].split())

    def done(text: str) -> bool:
        return "Esc cancels" not in text and path.stat().st_mtime_ns > written

    folder = _folder(trial, case)
    path = run_without(folder / "run.pkl", "attention")
    written = path.stat().st_mtime_ns
    with session(folder, _failing(folder, kind), COMMAND, path) as terminal:
        terminal.wait_for(lambda text: "q quit" in text)
        terminal.send("r")
        if kind == "killed":
            _engine_soon(terminal).kill()
        trial.add("failures")
        if not _shows(terminal, failed):
            trial.add("silent failures")
            trial.fail(case, f"{kind}: the screen says\n{terminal.text}")
        if not terminal.alive:
            trial.add("explorers that ended")
            trial.fail(case, f"{kind}: the explorer ended")
            return
        terminal.send("r")
        if not _shows(terminal, done) or missing_of(path, "attention"):
            trial.add("requests refused afterwards")
            trial.fail(case, f"{kind}: the next request left the screen at\n{terminal.text}")
        terminal.send("q")
        if code := terminal.wait_for_end():
            trial.fail(case, f"{kind}: the explorer ended with {code}")


def _failing(folder: Path, kind: str) -> dict[str, str]:
    """The environment of an explorer whose engine fails."""
    if kind == "killed":
        return environment(folder)
    left = folder / "left"
    # Memory is tried twice within a request, and a lost device gets a new process once.
    left.write_bytes(b"12")
    ssh = folder / "ssh"
    ssh.write_text('#!/bin/sh\nfor a; do last=$a; done\nexec sh -c "$last"\n')
    ssh.chmod(0o700)
    command = quote(shlex.join([sys.executable, str(FAILING), kind, str(left)]), safe="")
    return environment(folder, FLOWTUI_SSH=str(ssh), FLOWTUI_ENGINE=f"ssh://here?command={command}")


def _look_for_ports(trial: Trial) -> None:
    for what in ("looks", "listening sockets"):
        trial.add(what, 0)
    for case in trial.cases():
        _one_look(trial, case)


def _one_look(trial: Trial, case: int) -> None:
    """Every process of an explorer that computes, looked at again and again."""
    folder = _folder(trial, case)
    path = run_without(folder / "run.pkl", "cam")
    written = path.stat().st_mtime_ns
    with session(folder, environment(folder), COMMAND, path) as terminal:
        terminal.wait_for(lambda text: "q quit" in text)
        terminal.send("r")
        _engine_soon(terminal)
        end = time.monotonic() + 120
        while path.stat().st_mtime_ns == written and time.monotonic() < end:
            _read_for(terminal, 0.2)
            trial.add("looks")
            for what in listening(sessions.family_of(terminal.pid)):
                trial.add("listening sockets")
                trial.fail(case, what)
        if missing_of(path, "cam"):
            trial.fail(case, f"nothing was computed:\n{terminal.text}")
        terminal.send("q")
        terminal.wait_for_end()


def listening(processes: list[psutil.Process]) -> list[str]:
    """Sockets, of the network or of this machine, on which one of these processes accepts connections."""
    found = []
    for process in processes:
        try:
            inet = process.net_connections("inet")
            links = [str(entry.readlink()) for entry in Path(f"/proc/{process.pid}/fd").iterdir()]
        except (psutil.Error, OSError):
            continue
        found += [f"{process.pid} listens at {c.laddr}" for c in inet if c.status == psutil.CONN_LISTEN]
        # psutil has no state for Unix sockets: the kernel's flag 00010000 is "accepts connections".
        own = {link.removeprefix("socket:[").removesuffix("]") for link in links}
        rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
        found += [f"{process.pid} listens at {row[7:]}" for row in rows if row[6] in own and row[3] == "00010000"]
    return found


def _folder(trial: Trial, case: int) -> Path:
    folder = trial.folder / str(case)
    folder.mkdir()
    return folder


def _engine_soon(terminal: Terminal) -> psutil.Process:
    """The engine that is being started."""
    end = time.monotonic() + 120
    while (engine := sessions.engine_of(terminal)) is None:
        assert time.monotonic() < end, terminal.text
        terminal.read_some(0.02)
    return engine


def _read_for(terminal: Terminal, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        terminal.read_some(left)


def _shows(terminal: Terminal, seen: Callable[[str], bool]) -> bool:
    end = time.monotonic() + 120
    while not seen(terminal.text):
        if time.monotonic() > end or not terminal.alive:
            return False
        terminal.read_some(0.1)
    return True


PROMISES = (
    Promise(
        "interrupted",
        "faults",
        "Ctrl-C in the middle of a computation: the prompt is back within 2 s, the terminal is as it was, the engine "
        "is gone and the cache verifies",
        INTERRUPTS,
        2,
        _interrupt,
    ),
    Promise("interface-killed", "faults", "The explorer is killed: its engine is gone within 1 s", KILLS, 1, _kill),
    Promise(
        "engine-fails",
        "faults",
        "The engine is killed, out of memory, or its device fails: the explorer stays, says what happened, and the "
        "next request works",
        FAILURES,
        1,
        _fail,
    ),
    Promise(
        "no-port",
        "faults",
        "No process of interactive use accepts connections, from the network or from this machine",
        LOOKS,
        1,
        _look_for_ports,
    ),
)
