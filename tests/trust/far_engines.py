"""Engines on another machine, through a real sshd on this one: lines that freeze, break or crawl, clients that die."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psutil

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.results import Run
from tests.e2e.terminal import COMMAND, Terminal
from tests.engine.fake_engine import LAYERS, fake_run
from tests.remote.sshd import Sshd, missing
from tests.trust import sessions
from tests.trust.processes import listening
from tests.trust.promise import Promise, Trial
from tests.trust.sessions import environment, limit, session, there, wait_until

NOTICED_S = 10.0
GONE_S = 10.0
LOSSES, DEATHS, CRAWLS = 30, 60, 10
SLOWEST, FASTEST = 2_000, 20_000
"""Bytes per second of a slow line; a modem's, and a tenth of that."""

FAKE = Path(__file__).parents[1] / "engine" / "fake_engine.py"
CLIENT = Path(__file__).parents[1] / "remote" / "client.py"


def _lose(trial: Trial) -> None:
    counted = ("without a banner", "runs not completed", "layers computed again", "listening sockets", "ms at most")
    for what in ("lost lines", *counted):
        trial.add(what, 0)
    for case in trial.cases():
        with _far(trial, case) as (folder, sshd):
            _one_loss(trial, case, folder, sshd)


def _one_loss(trial: Trial, case: int, folder: Path, sshd: Sshd) -> None:
    """The explorer's line freezes or breaks in the middle of a computation, and comes back."""
    frozen = case % 2 == 0
    gate = _gate(folder)
    address = _fake(folder, first={str(trial.rng(case).randrange(1, LAYERS)): str(gate)})
    path = folder / "run.pkl"
    write_plain(path, replace(fake_run(), analyses={}, timings_s={}).to_plain())
    with session(folder, _near(folder, sshd), COMMAND, path, "--engine", address) as terminal:
        terminal.wait_for(lambda text: "q quit" in text)
        terminal.send("r")
        terminal.wait_for(lambda text: "attention layer" in text)
        for what in listening([*sessions.family_of(terminal.pid), *_far_engines(folder)]):
            trial.add("listening sockets")
            trial.fail(case, what)
        lost = time.monotonic()
        sshd.line.freeze() if frozen else sshd.line.cut()
        trial.add("lost lines")
        noticed_s = _until(terminal, lambda: "The line to far was lost" in " ".join(terminal.text.split()), lost)
        if noticed_s is None or noticed_s > limit(trial, NOTICED_S, LOSSES):
            trial.add("without a banner")
            trial.fail(case, f"after {noticed_s} s the screen says\n{terminal.text}")
        trial.most("ms at most", 1000 * (noticed_s or 0))
        gate.unlink()
        gate.touch()
        sshd.line.thaw()
        written = path.stat().st_mtime_ns
        done = _until(terminal, lambda: "Esc cancels" not in terminal.text and path.stat().st_mtime_ns > written, lost)
        terminal.send("q")
        code = terminal.wait_for_end()
    run = Run.from_plain(read_plain(path))
    if done is None or code or any(run.missing(name) for name in fake_run().analyses):
        trial.add("runs not completed")
        trial.fail(case, f"it ended with {code} and\n{terminal.text}")
    made = [line for line in (folder / "count").read_text().splitlines() if " " in line]
    if again := len(made) - len(set(made)):
        trial.add("layers computed again", again)
        trial.fail(case, f"{again} layers were computed again: {made}")


def _die(trial: Trial) -> None:
    for what in ("deaths", "far engines left", "ms at most"):
        trial.add(what, 0)
    for case in trial.cases():
        with _far(trial, case) as (folder, sshd):
            _one_death(trial, case, folder, sshd)


def _one_death(trial: Trial, case: int, folder: Path, sshd: Sshd) -> None:
    """A client, or its ssh, is killed; every third time the line is frozen too, so that nobody hears of it."""
    way = ("client on a frozen line", "client", "ssh")[case % 3]
    command = [sys.executable, CLIENT, _fake(folder, first={"1": str(_gate(folder))})]
    client = subprocess.Popen(command, env=_near(folder, sshd), stdout=subprocess.PIPE)
    try:
        assert client.stdout is not None
        client.stdout.readline()
        (engine,) = _far_engines(folder)
        time.sleep(trial.rng(case).uniform(0, 2))
        (ssh,) = [child for child in psutil.Process(client.pid).children() if child.name() == "ssh"]
        if way == "client on a frozen line":
            sshd.line.freeze()
        (ssh if way == "ssh" else psutil.Process(client.pid)).send_signal(signal.SIGKILL)
        trial.add("deaths")
        took_s = wait_until(lambda: not there(engine), limit(trial, GONE_S, DEATHS))
        trial.most("ms at most", 1000 * (took_s or 0))
        if took_s is None:
            trial.add("far engines left")
            trial.fail(case, f"{way}: the far engine was left")
    finally:
        client.kill()
        client.communicate()


def _crawl(trial: Trial) -> None:
    for what in ("slow lines", "taken for lost", "runs not completed"):
        trial.add(what, 0)
    for case in trial.cases():
        with _far(trial, case) as (folder, sshd):
            sshd.line.bytes_per_s = trial.rng(case).uniform(SLOWEST, FASTEST)
            path = folder / "run.pkl"
            write_plain(path, replace(fake_run(), analyses={}, timings_s={}).to_plain())
            command = [COMMAND, "precompute", path, "--engine", _fake(folder)]
            done = subprocess.run(command, env=_near(folder, sshd), capture_output=True, text=True, check=False)
            trial.add("slow lines")
            if "lost" in done.stderr or (folder / "count").read_text().count("start") != 1:
                trial.add("taken for lost")
                trial.fail(case, f"at {sshd.line.bytes_per_s:.0f} bytes/s: {done.stderr}")
            run = Run.from_plain(read_plain(path))
            if done.returncode or any(run.missing(name) for name in fake_run().analyses):
                trial.add("runs not completed")
                trial.fail(case, f"at {sshd.line.bytes_per_s:.0f} bytes/s: {done.returncode} {done.stderr}")


@contextmanager
def _far(trial: Trial, case: int) -> Iterator[tuple[Path, Sshd]]:
    """A folder of its own for each case, and a far machine; no process there outlives it."""
    folder = trial.folder / str(case)
    (folder / "sshd").mkdir(parents=True)
    with Sshd(folder / "sshd") as sshd:
        try:
            yield folder, sshd
        finally:
            for engine in _far_engines(folder):
                sessions.kill(engine)


def _near(folder: Path, sshd: Sshd) -> dict[str, str]:
    return environment(folder, FLOWTUI_SSH=sshd.ssh)


def _fake(folder: Path, **behaviour: object) -> str:
    """The address of an engine that counts what it computes."""
    words = [sys.executable, str(FAKE), json.dumps({"count": str(folder / "count"), **behaviour})]
    return f"ssh://far?command={quote(shlex.join(words), safe='')}"


def _gate(folder: Path) -> Path:
    """A file that holds an engine back for as long as it is a FIFO: nobody ever writes to it."""
    path = folder / "gate"
    os.mkfifo(path)
    return path


def _far_engines(folder: Path) -> list[psutil.Process]:
    mine = str(folder / "count")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if list(words[1:2]) == [str(FAKE)] and any(mine in word for word in words):
            found.append(process)
    return found


def _until(terminal: Terminal, met: Callable[[], bool], since: float) -> float | None:
    """Seconds since a moment until a condition is met, reading on meanwhile; None where it is not within a minute."""
    while not met():
        if time.monotonic() > since + 60 or not terminal.alive:
            return None
        terminal.read_some(0.05)
    return time.monotonic() - since


PROMISES = (
    Promise(
        "far-line-lost",
        "faults",
        "The line to a far engine freezes or breaks: a banner says so within 10 s, what had arrived is kept, and once "
        "the line is back no finished layer is computed again",
        LOSSES,
        1,
        _lose,
        missing,
    ),
    Promise(
        "far-client-dead",
        "faults",
        "A client dies, its ssh dies, or it dies on a frozen line: its far engine is gone within 10 s",
        DEATHS,
        1,
        _die,
        missing,
    ),
    Promise(
        "far-line-slow",
        "faults",
        "A line of 2 to 20 kB/s is slow, and not taken for a lost one",
        CRAWLS,
        1,
        _crawl,
        missing,
    ),
)
