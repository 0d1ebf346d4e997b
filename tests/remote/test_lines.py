"""A far engine through a real sshd, over lines that freeze, break and crawl."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from flowtui.cache.store import LayerCache
from flowtui.engine.client import EngineClient
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import CamParameters
from flowtui.engine.workflow import Progress, Request, complete
from flowtui.errors import EngineError
from tests.engine.fake_engine import LAYERS, expected_layer, fake_run
from tests.remote.sshd import Sshd

FAKE = Path(__file__).parents[1] / "engine" / "fake_engine.py"
CAM = Request("cam", CamParameters())
BARE = replace(fake_run(), analyses={}, timings_s={})
LIMIT_S = 10.0
"""What is promised, from a dead line or client to somebody knowing."""


def address(*words: object) -> str:
    return f"ssh://far?command={quote(shlex.join(map(str, words)), safe='')}"


def fake(folder: Path, **behaviour: Any) -> str:
    """The address of a far engine that counts what it does."""
    return address(sys.executable, FAKE, json.dumps({"count": str(folder / "count"), **behaviour}))


def counted(folder: Path) -> list[str]:
    return (folder / "count").read_text().split("\n")[:-1]


def far_engines(folder: Path) -> list[psutil.Process]:
    """The engines that this test has started there."""
    mine = str(folder / "count")
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if words and words[0] == sys.executable and any(mine in word for word in words):
            found.append(process)
    return found


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[str]:
    """A FIFO that holds an engine back before a layer, until the test ends."""
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    yield str(fifo)
    os.close(held)


async def test_layers_come_one_by_one_and_both_caches_have_them(sshd: Sshd, tmp_path: Path) -> None:
    with LayerCache.open(tmp_path / "near") as near:
        made = [u async for u in complete(BARE, [CAM], engine=fake(tmp_path), cache=near)]
        assert made[-1].run.missing("cam") == ()
        assert near.info().entries == LAYERS
    for layer, result in made[-1].run.analyses["cam"].layers.items():
        assert result.to_bytes() == expected_layer("cam", layer).to_bytes()
    with LayerCache.open(sshd.cache / "layers") as far:
        assert far.info().entries == LAYERS
    # Another client, which has none of it: the far engine computes nothing, and takes the layers from its own cache.
    again = [u async for u in complete(BARE, [CAM], engine=fake(tmp_path), cache=None)]
    assert again[-1].run.missing("cam") == ()
    assert sum(line.startswith("cam") for line in counted(tmp_path)) == LAYERS


async def test_a_frozen_line_is_noticed_and_the_work_goes_on_where_it_was(
    sshd: Sshd, tmp_path: Path, gate: str
) -> None:
    # The first engine stands still before layer 2, and the second does not.
    seen, lost_at = [], 0.0
    with LayerCache.open(tmp_path / "near") as near:
        updates = complete(BARE, [CAM], engine=fake(tmp_path, first={"2": gate}), cache=near)
        async with aclosing(updates):
            async for update in updates:
                if update.result is not None:
                    seen.append(update.result.layer)
                if seen == [0, 1] and not lost_at:
                    lost_at = time.monotonic()
                    sshd.line.freeze()
                if update.progress is not None and update.progress.stage == "reconnect":
                    assert time.monotonic() - lost_at < LIMIT_S
                    assert "The line to far was lost" in update.progress.text
                    assert near.info().entries == 2
                    await gone(far_engines(tmp_path), lost_at + LIMIT_S)
                    open_for_good(gate)
                    sshd.line.thaw()
                run = update.run
    assert lost_at
    assert seen == list(range(LAYERS))
    assert run.missing("cam") == ()
    assert [line for line in counted(tmp_path) if line.startswith("cam")] == [f"cam {k}" for k in range(LAYERS)]
    assert counted(tmp_path).count("start") == 2


async def test_a_cut_line_is_made_again(sshd: Sshd, tmp_path: Path, gate: str) -> None:
    seen, told = [], []
    async with await EngineClient.start(fake(tmp_path, first={"1": gate})) as client:
        await client.load(BARE.spec.model)
        await client.prepare(BARE.spec)
        async with aclosing(client.analyse(CamParameters(), range(LAYERS))) as events:
            async for event in events:
                if isinstance(event, LayerResult):
                    seen.append(event.layer)
                    if seen == [0]:
                        sshd.line.cut()
                elif isinstance(event, Progress) and event.stage == "reconnect":
                    told.append(event.text)
                    open_for_good(gate)
        assert client.alive
    assert seen == list(range(LAYERS))
    assert "The line to far was lost" in told[0]
    assert sum(line == "cam 0" for line in counted(tmp_path)) == 1


async def test_a_slow_line_is_no_lost_one(sshd: Sshd, tmp_path: Path) -> None:
    sshd.line.bytes_per_s = 2500
    updates = [u async for u in complete(BARE, [CAM], engine=fake(tmp_path), cache=None)]
    assert updates[-1].run.missing("cam") == ()
    assert not [u for u in updates if u.progress is not None and u.progress.stage == "reconnect"]
    assert counted(tmp_path).count("start") == 1


@pytest.mark.parametrize("dies", ["client", "ssh", "client on a frozen line"])
async def test_the_far_engine_goes_with_its_client(sshd: Sshd, tmp_path: Path, gate: str, dies: str) -> None:
    client = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("client.py"), fake(tmp_path, first={"1": gate})],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == b"layer 0\n"
        engines = far_engines(tmp_path)
        assert len(engines) == 1
        (ssh,) = [p for p in psutil.Process(client.pid).children() if p.name() == "ssh"]
        if dies == "client on a frozen line":
            sshd.line.freeze()
        died = time.monotonic()
        os.kill(ssh.pid if dies == "ssh" else client.pid, signal.SIGKILL)
        await gone(engines, died + LIMIT_S)
        client.kill()
        client.wait()
    sshd.line.thaw()


async def test_a_client_that_was_stopped_goes_on(sshd: Sshd, tmp_path: Path, gate: str) -> None:
    client = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("client.py"), fake(tmp_path, first={"1": gate})],
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    with client.stdout:
        assert client.stdout.readline() == b"layer 0\n"
        client.send_signal(signal.SIGSTOP)
        # The far engine takes the silence for a death.
        await gone(far_engines(tmp_path), time.monotonic() + LIMIT_S)
        open_for_good(gate)
        client.send_signal(signal.SIGCONT)
        assert client.stdout.read() == b"layer 1\nlayer 2\nlayer 3\n"
    assert client.wait() == 0
    assert sum(line == "cam 0" for line in counted(tmp_path)) == 1


async def test_what_is_wrong_there_is_said(sshd: Sshd, tmp_path: Path) -> None:
    async def error(engine: str) -> EngineError:
        with pytest.raises(EngineError) as caught:
            await EngineClient.start(engine)
        return caught.value

    absent = await error("ssh://far?command=/nonexistent/flowtui")
    assert absent.message.startswith("There is no flowtui on far")
    assert "?command=" in absent.hint
    other = await error(fake(tmp_path, protocol=99))
    assert "protocol 99" in other.message
    assert "same flowtui" in other.hint
    killed = await error(address("sh", "-c", "kill -KILL $$", "x"))
    assert "is no engine" in killed.message
    (sshd.folder / "user").unlink()
    refused = await error("ssh://far")
    assert "Permission denied" in refused.message
    assert "ssh-copy-id far" in refused.hint


async def gone(processes: list[psutil.Process], until_s: float) -> None:
    """Waits for the end of processes.

    Raises:
        AssertionError: They are still there at that time.
    """
    while any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes):
        assert time.monotonic() < until_s, f"still there: {processes}"
        await asyncio.sleep(0.05)


def open_for_good(fifo: str) -> None:
    """From now on reading it is no waiting."""
    path = Path(fifo)
    if path.is_fifo():
        path.unlink()
        path.touch()
