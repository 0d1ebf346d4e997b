"""Sweeps on several workers, through a real Ray: the installed command, so that what Ray does stays in its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flowtui.engine.sweeps.journal import journal_path
from flowtui.engine.sweeps.rays import open_workers
from flowtui.errors import UsageError

PROGRAM = Path(sys.executable).with_name("flowtui")
LONGEST_S = 280
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def start(output: Path, *options: str) -> subprocess.Popen[str]:
    command = [PROGRAM, "sweep", "demo", "--limit", "18", "-o", str(output), "--device", "cpu", "--json", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_records(output: Path, running: subprocess.Popen[str], count: int) -> None:
    end = time.monotonic() + LONGEST_S
    journal = journal_path(output)
    while not journal.exists() or journal.read_bytes().count(b"\n") <= count:
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def actors(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that hold an engine, of all that the command has started."""
    every = psutil.Process(running.pid).children(recursive=True)
    return [each for each in every if each.name().startswith("ray::") and each.children()]


def listening(processes: list[psutil.Process]) -> set[str]:
    return {
        connection.laddr.ip
        for each in processes
        for connection in each.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_changes_no_byte_and_nothing_listens_to_others(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone.pkl", tmp_path / "together.pkl"
    with start(alone) as one:
        _, said = one.communicate(timeout=LONGEST_S)
    assert one.returncode == 0, said
    with start(together, "--workers", "2") as two:
        wait_for_records(together, two, 1)
        assert listening(psutil.Process(two.pid).children(recursive=True)) <= LOOPBACK
        victim = actors(two)[0]
        engine = victim.children()[0]
        os.kill(victim.pid, signal.SIGKILL)
        _, said = two.communicate(timeout=LONGEST_S)
        assert two.returncode == 0, said
        assert not engine.is_running()
    assert together.read_bytes() == alone.read_bytes()
    assert not journal_path(together).exists()


@pytest.mark.timeout(600)
def test_ctrl_c_ends_the_workers_and_keeps_the_journal(tmp_path: Path) -> None:
    output = tmp_path / "sweep.pkl"
    with start(output, "--workers", "1") as running:
        wait_for_records(output, running, 1)
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=LONGEST_S)
    assert running.returncode == 130, said
    assert "Go on with the same command" in said
    assert not output.exists()
    assert journal_path(output).exists()
    assert not psutil.wait_procs(started, timeout=30)[1]


async def test_without_ray_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"flowtui\[ray\]"):
        async with open_workers(1, {"model": "demo", "device": "cpu"}):
            pass


async def test_more_workers_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from flowtui.engine.devices import Device

    devices = (Device("cuda:0", "", 1, 1), Device("cpu", "", 1, 1))
    monkeypatch.setattr("flowtui.engine.sweeps.rays.find_devices", lambda: devices)
    with pytest.raises(UsageError, match="2 workers need 2 GPUs; there are 1"):
        async with open_workers(2, {"model": "demo", "device": "auto"}):
            pass
