"""The client against a real engine process with a torch-free backend: streams, cancel, deaths, transports."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from flowtui import __version__
from flowtui.engine import link
from flowtui.engine.client import EngineClient, Progress
from flowtui.engine.results import LayerResult, Prepared
from flowtui.engine.spec import CamParameters, RunSpec, TruncationParameters
from flowtui.engine.transport import describe_end, find_target
from flowtui.errors import CancelledError, EngineError, FlowtuiError, OutOfMemoryError, ProtocolError
from tests.engine.fake_engine import LAYERS, expected_layer
from tests.factories import png

FAKE = Path(__file__).with_name("fake_engine.py")
SPEC = RunSpec("demo", (png(),), "What?")
ALL = range(LAYERS)


@pytest.fixture(autouse=True)
def _log_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def start(**behaviour: Any) -> EngineClient:
    return await EngineClient.start(command=(sys.executable, str(FAKE), json.dumps(behaviour)))


async def ready(**behaviour: Any) -> EngineClient:
    client = await start(**behaviour)
    await prepare(client)
    return client


async def prepare(client: EngineClient) -> Prepared:
    await client.load(SPEC.model)
    return await client.prepare(SPEC)


async def collect(
    client: EngineClient, into: list[LayerResult], layers: Any = ALL, first: asyncio.Event | None = None
) -> None:
    async with aclosing(client.analyse(CamParameters(), layers)) as events:
        async for event in events:
            if isinstance(event, LayerResult):
                into.append(event)
                if first is not None:
                    first.set()


async def everything(client: EngineClient) -> None:
    await prepare(client)
    await collect(client, [])


def pid_of(client: EngineClient) -> int:
    return client._talk.link._process.pid


async def gone(pidfd: int) -> bool:
    """Whether a process has ended, or does so soon."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, event.set)
    try:
        await asyncio.wait_for(event.wait(), 10)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return True


async def test_what_a_run_takes_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    wanted = [(CamParameters(), None), (TruncationParameters(), [0, 4])]
    async with await start(fit={"weights": 500, "too_big": 1}, count=str(tmp_path / "count")) as client:
        assert not client.has_model
        fit = await client.fit(SPEC, wanted, dtype="bfloat16")
        assert fit is not None
        assert (fit.model, fit.weights_bytes, fit.loaded, fit.free_bytes) == (SPEC.model, 500, False, 1 << 30)
        assert [(need.analysis, need.fits) for need in fit.needs] == [("cam", False), ("truncation", True)]
        with pytest.raises(OutOfMemoryError, match="cam of 30 tokens"):
            fit.check()
        assert "load" not in (tmp_path / "count").read_text().split()
        assert not client.has_model
        await client.load(SPEC.model, dtype="bfloat16")
        assert client.has_model
        again = await client.fit(SPEC, wanted, dtype="bfloat16")
        other = await client.fit(SPEC, wanted)
        assert again is not None
        assert other is not None
        assert (again.loaded, other.loaded) == (True, False)
        prepared = await client.prepare(SPEC)
        assert prepared.answer.text == "a red circle"
    async with await start() as client:
        assert await client.fit(SPEC, wanted) is None


async def test_load_prepare_analyse() -> None:
    async with await start() as client:
        assert client.hello.devices[-1].name == "cpu"
        stages: list[Progress] = []
        info = await client.load("some/model", dtype="bfloat16", on_progress=stages.append)
        assert (info.name, info.dtype, info.layers) == ("some/model", "bfloat16", LAYERS)
        prepared = await client.prepare(SPEC, stages.append)
        assert prepared.answer.text == "a red circle"
        assert [p.stage for p in stages] == ["load", "prepare"]
        made: list[LayerResult] = []
        await collect(client, made, (3, 1))
        assert [result.layer for result in made] == [3, 1]
        for result in made:
            assert result.to_bytes() == expected_layer("cam", result.layer).to_bytes()
        assert client.seconds["load"] >= 0
        assert await client.ping() < 10
    assert not client.alive
    with pytest.raises(EngineError):
        await client.ping()


async def test_progress_tells_layer_and_fraction() -> None:
    async with await ready() as client:
        events = [event async for event in client.analyse(CamParameters(), ALL)]
        told = [event for event in events if isinstance(event, Progress)]
        assert {(p.stage, p.analysis) for p in told} == {("cam", "cam")}
        assert told[-1].fraction == 1.0
        assert told[-1].layer == LAYERS - 1


async def test_two_requests_at_once_get_their_own_replies() -> None:
    async with await ready() as client:
        first: list[LayerResult] = []
        second: list[LayerResult] = []
        await asyncio.gather(collect(client, first, (0, 2)), collect(client, second, (1,)))
        assert ([r.layer for r in first], [r.layer for r in second]) == ([0, 2], [1])


@pytest.mark.parametrize(
    ("stage", "name", "message", "kind"),
    [
        ("load", "ModelError", "No such model.", "ModelError"),
        ("prepare", "UsageError", "Too long.", "UsageError"),
        ("analyse", "OutOfMemoryError", "5 GiB needed.", "OutOfMemoryError"),
        ("analyse", "KeyError", "x", "EngineError"),
    ],
)
async def test_an_error_arrives_as_its_own_class_and_the_engine_lives_on(
    stage: str, name: str, message: str, kind: str
) -> None:
    async with await start(**{"raise": [stage, name, message]}) as client:
        with pytest.raises(FlowtuiError) as caught:
            await everything(client)
        assert caught.value.kind == kind
        assert message in caught.value.message
        await client.ping()
    assert OutOfMemoryError.exit_code != EngineError.exit_code


async def test_leaving_the_stream_cancels_and_keeps_what_was_made() -> None:
    kept: list[int] = []

    async def keep(result: LayerResult, seconds: float) -> None:
        assert seconds >= 0
        kept.append(result.layer)

    async with await ready(spin=3) as client:
        async with aclosing(client.analyse(CamParameters(), ALL, keep=keep)) as events:
            async for event in events:
                if isinstance(event, LayerResult):
                    break
        # The engine stands still after layer 2. How far it came before the cancel reached it is a matter of timing;
        # what it made is kept, in order and without a gap.
        assert kept in ([0], [0, 1], [0, 1, 2])
        assert client.alive
        await collect(client, [], (0,))


async def test_cancelling_the_task_cancels_the_engine() -> None:
    async with await ready(spin=1) as client:
        seen = asyncio.Event()

        async def work() -> None:
            async for event in client.analyse(CamParameters(), ALL):
                if isinstance(event, LayerResult):
                    seen.set()

        task = asyncio.create_task(work())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        made: list[LayerResult] = []
        await collect(client, made, (2,))
        assert [result.layer for result in made] == [2]


async def test_cancel_ends_the_stream_with_a_cancelled_error() -> None:
    async with await ready(spin=1) as client:
        made: list[LayerResult] = []
        first = asyncio.Event()
        task = asyncio.create_task(collect(client, made, first=first))
        await first.wait()
        await client.cancel()
        with pytest.raises(CancelledError):
            await task
        assert client.alive


async def test_an_engine_that_does_not_heed_a_cancel_is_ended_and_started_anew_when_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(link, "GRACE_S", 0.1)
    count = tmp_path / "count"
    async with await ready(stall=1, count=str(count)) as client:
        pidfd = os.pidfd_open(pid_of(client))
        made: list[LayerResult] = []
        first = asyncio.Event()
        task = asyncio.create_task(collect(client, made, first=first))
        await first.wait()
        await client.cancel()
        with pytest.raises(CancelledError):
            await task
        assert await gone(pidfd)
        # The new process gets the model and the run again, unasked.
        await collect(client, made, (0,))
        assert [result.layer for result in made] == [0, 0]
    assert count.read_text().split("\n")[:-1] == ["start", "load", "prepare", "cam 0"] * 2


async def test_an_engine_that_ignores_sigterm_is_killed_with_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(link, "GRACE_S", 0.1)
    # A shell in front of the engine, in the same group, with a child that ignores SIGTERM and outlives nobody.
    pid_file = tmp_path / "pid"
    script = (
        f"trap '' TERM; sleep 1000 <&- >&- 2>&- & echo $! > {pid_file}; "
        f"{sys.executable} {FAKE} '{json.dumps({'stall': 1})}'; :"
    )
    client = await EngineClient.start(command=("sh", "-c", script))
    async with client:
        await prepare(client)
        pidfd = os.pidfd_open(int(pid_file.read_text()))
        made: list[LayerResult] = []
        first = asyncio.Event()
        task = asyncio.create_task(collect(client, made, first=first))
        await first.wait()
        await client.cancel()
        with pytest.raises(CancelledError):
            await task
        assert await gone(pidfd)


async def test_a_killed_engine_is_an_error_with_its_signal_and_layers_before_it_arrive() -> None:
    async with await ready(kill=2, stderr="warming up\x1b[31m\nlast words") as client:
        made: list[LayerResult] = []
        with pytest.raises(EngineError) as caught:
            await collect(client, made)
        assert [result.layer for result in made] == [0, 1]
        assert "SIGKILL" in caught.value.message
        assert "last words" in caught.value.message
        assert "memory" in caught.value.hint
        with pytest.raises(EngineError, match="SIGKILL"):
            await client.load("demo")


async def test_a_lost_device_gets_a_new_process_once(tmp_path: Path) -> None:
    marker, count = tmp_path / "marker", tmp_path / "count"
    marker.write_bytes(b"1")
    async with await ready(lose=[2, str(marker)], count=str(count)) as client:
        made: list[LayerResult] = []
        await collect(client, made)
        assert [result.layer for result in made] == list(ALL)
        marker.write_bytes(b"1")
        with pytest.raises(EngineError, match="CUDA error") as caught:
            await collect(client, made)
        assert "device" in caught.value.hint
    lines = count.read_text().split("\n")
    assert lines.count("start") == lines.count("load") == lines.count("prepare") == 2
    # Layers that had arrived were not made again.
    assert lines.count("cam 0") == 2


@pytest.mark.parametrize(
    ("behaviour", "error", "text"),
    [
        (
            {"exit": 3, "stderr": "Traceback\n  File x\nModuleNotFoundError: No module named 'y'"},
            EngineError,
            "No module",
        ),
        ({"protocol": 99}, EngineError, "99"),
        ({"greeting": "Welcome to the machine!\n"}, ProtocolError, "Welc"),
    ],
)
async def test_an_engine_that_does_not_greet_well_is_an_error(
    behaviour: dict[str, Any], error: type[EngineError], text: str
) -> None:
    with pytest.raises(error) as caught:
        await start(**behaviour)
    assert text in caught.value.message
    assert "Traceback" not in str(caught.value)


async def test_an_engine_that_never_greets_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "HELLO_TIMEOUT_S", 0.1)
    monkeypatch.setattr(link, "GRACE_S", 0.1)
    with pytest.raises(EngineError, match="did not answer"):
        await EngineClient.start(command=("sleep", "1000"))
    with pytest.raises(EngineError, match="cannot be started"):
        await EngineClient.start(command=("/nonexistent/engine",))


async def test_replies_that_are_not_valid_are_protocol_errors() -> None:
    async with await ready(heads=True) as client:
        # Shapes are the workflow's to check; here the entry itself is whole.
        await collect(client, [])
    # An engine that speaks the protocol and then sends a model that is none.
    code = (
        "import sys; from flowtui.engine.protocol import *; w = sys.stdout.buffer\n"
        "from flowtui.cache.keys import SCHEMA\n"
        "v = dict.fromkeys(('flowtui', 'python', 'torch', 'transformers'), '')\n"
        "w.write(encode('engine', 'hello', protocol=PROTOCOL, schema=SCHEMA, devices=[], **v))\n"
        "w.flush(); r = sys.stdin.buffer; read_frame(r, 'client'); m = read_frame(r, 'client')\n"
        "w.write(encode('engine', 'loaded', id=m['id'], model={'name': 3}, seconds=0)); w.flush(); r.read()\n"
    )
    async with await EngineClient.start(command=(sys.executable, "-c", code)) as client:
        with pytest.raises(ProtocolError, match="not valid"):
            await client.load("demo")


async def test_a_slow_reader_holds_the_engine_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = asyncio.Event()

    class Room(asyncio.Event):
        def clear(self) -> None:
            super().clear()
            blocked.set()

    # Frames of 1 MB: 8 wait in the client, pipes and buffers hold a few more, and the engine waits with the rest.
    code = (
        "import sys; from flowtui.engine.protocol import *; from flowtui.engine import process, results, spec\n"
        "import numpy as np; from tests.engine import fake_engine\n"
        "class B(fake_engine.FakeBackend):\n"
        "  def analyse(self, l, i, p, layers, on_layer, on_progress, cancelled):\n"
        "    for k in layers:\n"
        "      self.note(str(k)); on_layer(results.LayerResult('cam', 0, {'heat': np.zeros((1, 1 << 18), 'f4')}))\n"
        f"process.serve(B({{'count': {str(tmp_path / 'count')!r}}}))\n"
    )
    root = str(Path(__file__).parents[2])
    command = (sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r})\n{code}")
    async with await EngineClient.start(command=command) as client:
        await prepare(client)
        monkeypatch.setattr(link, "Event", Room)
        stream = client.analyse(CamParameters(), [0] * 200)
        async with aclosing(stream):
            first = [await anext(stream) for _ in range(2)]
            assert isinstance(first[-1], LayerResult)
            await blocked.wait()
            for _ in range(3000):  # as many chances to read on
                await asyncio.sleep(0)
            (call,) = client._talk.link._calls.values()
            assert call._replies.qsize() == link.WAITING_REPLIES
            assert len((tmp_path / "count").read_text().split("\n")) < 40


async def test_closing_ends_the_engine_also_while_it_computes() -> None:
    client = await ready(stall=1)
    pidfd = os.pidfd_open(pid_of(client))
    stream = client.analyse(CamParameters(), ALL)
    async for event in stream:
        if isinstance(event, LayerResult):
            break
    await client.close()
    assert await gone(pidfd)
    await stream.aclose()


def test_the_client_imports_no_torch() -> None:
    code = "import sys, flowtui.engine.workflow; print('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"False"


async def test_the_local_engine_is_this_python_and_no_file_of_the_current_folder_gets_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgpack.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    async with await EngineClient.start() as client:
        assert client.hello.transformers


# ssh


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `ssh` that writes its arguments down and runs the remote command here, as a login shell would."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor a; do echo "$a" >> {tmp_path}/arguments; last=$a; done\nexec sh -c "$last"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return tmp_path / "arguments"


def far(*words: object, host: str = "box") -> str:
    """The address of an engine that these words start."""
    return f"ssh://{host}?command={quote(shlex.join(map(str, words)), safe='')}"


async def test_ssh_runs_the_remote_command_with_keepalive_and_without_questions(fake_ssh: Path) -> None:
    async with await EngineClient.start(far(sys.executable, FAKE, "{}", host="ann@gpu-1.lab.example:2222")) as client:
        assert (await prepare(client)).answer.text == "a red circle"
    arguments = fake_ssh.read_text().split("\n")
    assert {"-oServerAliveInterval=2", "-oServerAliveCountMax=3", "-oBatchMode=yes"} <= set(arguments)
    assert arguments[arguments.index("-l") + 1] == "ann"
    assert arguments[arguments.index("-p") + 1] == "2222"
    assert arguments[arguments.index("--") + 1] == "gpu-1.lab.example"


@pytest.mark.parametrize(
    ("words", "text", "hint"),
    [
        (("/nonexistent/flowtui",), "no flowtui on box", "?command="),
        (("env", "true"), "is no engine", "flowtui doctor --engine ssh://box"),
        ((sys.executable, FAKE, '{"protocol": 99}'), f"here is flowtui {__version__}", "both sides"),
        ((sys.executable, FAKE, '{"greeting": "Welcome"}'), "'Welc'", "start-up file on box"),
        (("sh", "-c", "exit 255"), "connection to box failed", "ssh box true"),
    ],
)
async def test_a_far_engine_that_is_none_says_what_to_do(
    fake_ssh: Path, words: tuple[object, ...], text: str, hint: str
) -> None:
    with pytest.raises(EngineError) as caught:
        await EngineClient.start(far(*words))
    assert text in caught.value.message
    assert hint in caught.value.hint


def test_ends_are_described_in_one_clean_line() -> None:
    here = find_target("local")
    error = describe_end(here, 1, ["  ", "RuntimeError: \x1b]52;c;AAAA\x07 bad\x9b", "", "\r"])
    assert error.message == "The engine ended (exit code 1): RuntimeError:  ]52;c;AAAA  bad."
    assert describe_end(here, -signal.SIGSEGV, []).message == "The engine was ended by SIGSEGV."
    assert "signal 77" in describe_end(here, -77, []).message
    assert len(describe_end(here, 1, ["x" * 5000]).message) < 300


async def test_an_engine_that_takes_nothing_can_still_be_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "GRACE_S", 0.1)
    # A line that is frozen: what is sent stays in the pipe, and more than a pipe holds is waiting.
    script = f"{sys.executable} {FAKE}; :"
    async with await EngineClient.start(command=("sh", "-c", script)) as client:
        (engine,) = psutil.Process(pid_of(client)).children()
        engine.suspend()
        big = replace(SPEC, images=(bytes(4 << 20),))
        task = asyncio.create_task(client.prepare(big))
        while client._talk._running is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 20)
    assert not client.alive
