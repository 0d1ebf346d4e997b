"""The engine process, spoken to with raw frames: its greeting, its end, what it does with bad requests."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowtui import __version__
from flowtui.engine.failures import explain, is_out_of_memory, lost_device
from flowtui.engine.protocol import PROTOCOL, Message, encode, read_frame, spec_to_plain
from flowtui.engine.results import LayerResult, answer_to_plain
from flowtui.engine.spec import RunSpec
from flowtui.errors import OutOfMemoryError
from tests.factories import png

FAKE = Path(__file__).with_name("fake_engine.py")
SPEC = RunSpec("demo", (png(),), "What?")
LOAD = {"model": "demo", "revision": None, "dtype": "auto", "device": "cpu", "trust_remote_code": False}
# The rule is one second. An engine that breaks it here never ends at all, so the deadline may be a busy machine's.
DEADLINE_S = 20.0

Engine = subprocess.Popen[bytes]
Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts fake engines and ends those that are left."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    started: list[Engine] = []

    def run(**behaviour: Any) -> Engine:
        command = [sys.executable, str(FAKE), json.dumps(behaviour)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield run
    for engine in started:
        engine.kill()
        engine.wait()
        for pipe in (engine.stdin, engine.stdout, engine.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()


def tell(engine: Engine, kind: str, **values: Any) -> None:
    assert engine.stdin is not None
    engine.stdin.write(encode("client", kind, **values))
    engine.stdin.flush()


def hear(engine: Engine) -> Message:
    assert engine.stdout is not None
    message = read_frame(engine.stdout, "engine")
    assert message is not None, "the engine is gone"
    return message


def hear_last(engine: Engine) -> Message:
    while (message := hear(engine))["type"] in ("progress", "layer", "hello"):
        pass
    return message


def ready(engine: Engine) -> None:
    tell(engine, "load", id=1, **LOAD)
    assert hear_last(engine)["type"] == "loaded"
    tell(engine, "prepare", id=2, spec=spec_to_plain(SPEC), answer=None)
    assert hear_last(engine)["type"] == "prepared"


def analyse(engine: Engine, request: int = 3, layers: tuple[int, ...] = (0, 1, 2, 3), analysis: str = "cam") -> None:
    tell(engine, "analyse", id=request, analysis=analysis, parameters={}, layers=list(layers))


def busy(engine: Engine) -> None:
    """Brings it to its second layer, where it stalls."""
    ready(engine)
    analyse(engine)
    while hear(engine)["type"] != "layer":
        pass


def ends(pidfd: int, within_s: float) -> bool:
    """Whether a process, child or not, ends in time."""
    readable, _, _ = select.select([pidfd], [], [], within_s)
    return bool(readable)


def test_it_greets_with_versions_and_devices_before_torch_is_imported(start: Start) -> None:
    engine = start()
    hello = hear(engine)
    assert (hello["type"], hello["protocol"], hello["flowtui"]) == ("hello", PROTOCOL, __version__)
    assert hello["torch"].startswith("2.")
    assert hello["devices"][-1]["name"] == "cpu"
    # Nothing but the real backend's first request may import torch.
    code = "import sys, flowtui.engine.process; print('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code]).strip() == b"False"


def test_layers_arrive_as_they_were_made_with_progress_and_seconds(start: Start) -> None:
    from tests.engine.fake_engine import expected_layer

    engine = start()
    ready(engine)
    analyse(engine, layers=(2, 0))
    replies = [hear(engine)]
    while replies[-1]["type"] != "done":
        replies.append(hear(engine))
    layers = [reply for reply in replies if reply["type"] == "layer"]
    assert [reply["layer"] for reply in layers] == [2, 0]
    # However fast they come, each is said: the next may take long.
    assert [reply["layer"] for reply in replies if reply["type"] == "progress"] == [None, 2, 0]
    for reply in layers:
        expected = expected_layer("cam", reply["layer"])
        assert LayerResult.from_bytes(reply["entry"]).arrays["heat"].tobytes() == expected.arrays["heat"].tobytes()
    assert 0 <= sum(reply["seconds"] for reply in layers) <= replies[-1]["seconds"]
    assert {reply["id"] for reply in replies} == {3}
    assert replies[0] == {
        "type": "progress", "id": 3, "stage": "cam", "layer": None, "fraction": 0.0, "seconds_left": None,
    }  # fmt: skip


def test_it_ends_when_stdin_ends_idle_or_computing(start: Start) -> None:
    idle, computing = start(), start(stall=1)
    hear(idle)
    busy(computing)
    for engine in (idle, computing):
        assert engine.stdin is not None
        engine.stdin.close()
        assert engine.wait(DEADLINE_S) == 0


def test_it_ends_when_its_parent_is_killed(start: Start, tmp_path: Path) -> None:
    # The grandchild's stdin is a FIFO that this test keeps open: only the parent's death can end it.
    fifo = tmp_path / "stdin"
    os.mkfifo(fifo)
    script = (
        "import subprocess, sys, threading\n"
        f"child = subprocess.Popen([sys.executable, {str(FAKE)!r}], stdin=open({str(fifo)!r}, 'rb'),"
        " stdout=subprocess.PIPE)\n"
        "child.stdout.read(1)\n"
        "print(child.pid, flush=True)\n"
        "threading.Event().wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with fifo.open("wb"):
        assert parent.stdout is not None
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        assert not ends(pidfd, 0)
        parent.kill()
        assert ends(pidfd, DEADLINE_S)
    parent.communicate()
    os.close(pidfd)


def test_it_ends_on_bye_and_on_a_client_that_no_longer_reads(start: Start) -> None:
    engine = start(stall=1)
    busy(engine)
    tell(engine, "bye")
    assert engine.wait(DEADLINE_S) == 0
    deaf = start()
    assert deaf.stdout is not None
    hear(deaf)
    deaf.stdout.close()
    tell(deaf, "ping", id=1)
    assert deaf.wait(DEADLINE_S) == 0


def test_ping_is_answered_while_it_computes(start: Start) -> None:
    engine = start(stall=1)
    busy(engine)
    tell(engine, "ping", id=77)
    while (reply := hear(engine))["type"] == "progress":
        pass
    assert reply == {"type": "pong", "id": 77}


def test_cancel_stops_between_layers_and_the_engine_goes_on(start: Start) -> None:
    engine = start(spin=2)
    ready(engine)
    analyse(engine)
    while (reply := hear(engine))["type"] != "layer" or reply["layer"] != 1:
        pass
    tell(engine, "cancel", id=3)
    reply = hear_last(engine)
    assert (reply["type"], reply["id"], reply["kind"]) == ("error", 3, "CancelledError")
    analyse(engine, request=4, layers=(0,))
    assert hear_last(engine) | {"seconds": 0} == {"type": "done", "id": 4, "seconds": 0}


def test_a_request_cancelled_before_its_turn_is_not_begun(start: Start, tmp_path: Path) -> None:
    gate, count = tmp_path / "gate", tmp_path / "count"
    os.mkfifo(gate)
    engine = start(first={"0": str(gate)}, count=str(count))
    ready(engine)
    analyse(engine, request=3, layers=(0,))
    analyse(engine, request=4, layers=(1,))
    tell(engine, "cancel", id=4)
    tell(engine, "ping", id=5)  # answered in order: the cancel has been read
    while hear(engine)["type"] != "pong":
        pass
    gate.write_bytes(b"")
    assert hear_last(engine)["type"] == "done"
    reply = hear_last(engine)
    assert (reply["id"], reply["kind"]) == (4, "CancelledError")
    assert "cam 1" not in count.read_text()


def test_the_same_load_and_prepare_again_cost_nothing_and_another_load_forgets_both(
    start: Start, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    engine = start(count=str(count))
    ready(engine)
    ready(engine)
    assert count.read_text().split() == ["start", "load", "prepare"]
    tell(engine, "load", id=9, **{**LOAD, "model": "other"})
    assert hear_last(engine)["model"]["name"] == "other"
    analyse(engine, request=10)
    assert hear_last(engine)["kind"] == "ProtocolError"


@pytest.mark.parametrize(
    ("stage", "name", "message", "kind", "text"),
    [
        ("load", "UnsupportedModelError", "No decoder found.", "UnsupportedModelError", "No decoder found."),
        ("prepare", "UsageError", "Too long.", "UsageError", "Too long."),
        ("analyse", "ZeroDivisionError", "by zero\nsecret second line", "EngineError", "ZeroDivisionError: by zero"),
        ("analyse", "MemoryError", "", "OutOfMemoryError", "out of memory"),
    ],
)
def test_errors_travel_as_one_sentence_and_tracebacks_stay_in_the_log(
    start: Start, tmp_path: Path, stage: str, name: str, message: str, kind: str, text: str
) -> None:
    engine = start(**{"raise": [stage, name, message]})
    tell(engine, "load", id=1, **LOAD)
    tell(engine, "prepare", id=2, spec=spec_to_plain(SPEC), answer=None)
    analyse(engine)
    reply = hear_last(engine)
    while reply["type"] != "error":
        reply = hear_last(engine)
    assert reply["kind"] == kind
    assert text in reply["message"]
    assert "second line" not in reply["message"]
    assert "Traceback" not in reply["message"] + reply["hint"]
    tell(engine, "bye")
    _, stderr = engine.communicate(timeout=30)
    assert b"Traceback" not in stderr
    meant = kind == name
    logs = "".join(path.read_text() for path in (tmp_path / "state").rglob("engine.log"))
    assert ("Traceback" in logs) == (not meant)


@pytest.mark.parametrize(
    ("analysis", "layers", "parameters", "kind"),
    [
        ("cam", [4], {}, "UsageError"),
        ("truncation", [5], {}, "UsageError"),
        ("cam", [-1], {}, "UsageError"),
        ("colour", [0], {}, "UsageError"),
        ("cam", [0], {"variant": "other"}, "UsageError"),
        ("cam", [0], {"speed": 1}, "UsageError"),
    ],
)
def test_requests_that_cannot_be_meant_are_errors_and_the_engine_goes_on(
    start: Start, analysis: str, layers: list[int], parameters: dict[str, Any], kind: str
) -> None:
    engine = start()
    ready(engine)
    tell(engine, "analyse", id=3, analysis=analysis, parameters=parameters, layers=layers)
    assert hear_last(engine)["kind"] == kind
    analyse(engine, request=4)
    assert hear_last(engine)["type"] == "done"


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({}, "ProtocolError"),
        ({"analysis": "cam", "parameters": {}, "layers": ["1"]}, "ProtocolError"),
        ({"analysis": "cam", "parameters": {}, "layers": 3}, "ProtocolError"),
        ({"analysis": [], "parameters": {}, "layers": None}, "ProtocolError"),
        ({"analysis": "colour", "parameters": {}, "layers": None}, "UsageError"),
        ({"analysis": "cam", "parameters": {"speed": 1}, "layers": None}, "UsageError"),
    ],
)
def test_what_is_asked_to_fit_must_make_sense(start: Start, item: dict[str, Any], kind: str) -> None:
    engine = start(fit={"weights": 1})
    tell(engine, "fit", id=1, **LOAD, spec=spec_to_plain(SPEC), analyses=[item])
    assert hear_last(engine)["kind"] == kind
    tell(engine, "fit", id=2, **LOAD, spec=spec_to_plain(SPEC), analyses=[])
    reply = hear_last(engine)
    assert (reply["type"], reply["fit"]["weights_bytes"], reply["fit"]["needs"]) == ("fitted", 1, [])


def test_the_first_progress_tells_what_the_analysis_is_expected_to_take(start: Start) -> None:
    engine = start(seconds=12.5)
    ready(engine)
    analyse(engine)
    first = hear(engine)
    assert (first["fraction"], first["seconds_left"]) == (0.0, 12.5)


@pytest.mark.parametrize(
    "answer", [{}, {"ids": ["1"], "text": "", "tokens": [], "given": True, "stopped": True}, {"ids": 3}]
)
def test_a_malformed_pinned_answer_is_an_error(start: Start, answer: dict[str, Any]) -> None:
    engine = start()
    tell(engine, "load", id=1, **LOAD)
    tell(engine, "prepare", id=2, spec=spec_to_plain(SPEC), answer=answer)
    hear_last(engine)
    assert hear_last(engine)["kind"] == "ProtocolError"


def test_a_pinned_answer_reaches_the_backend(start: Start) -> None:
    from flowtui.engine.results import Answer

    pinned = Answer((7, 8, 9), "x y z", ("x", "y", "z"), given=False, stopped=False)
    engine = start()
    tell(engine, "load", id=1, **LOAD)
    tell(engine, "prepare", id=2, spec=spec_to_plain(SPEC), answer=answer_to_plain(pinned))
    hear_last(engine)
    assert hear_last(engine)["prepared"]["answer"]["ids"] == [7, 8, 9]


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x05\x81"])
def test_garbage_is_answered_with_an_error_and_the_end(start: Start, garbage: bytes) -> None:
    engine = start()
    hear(engine)
    stdout, stderr = engine.communicate(garbage, timeout=30)
    assert engine.returncode == 1
    assert b"ProtocolError" in stdout
    assert b"Traceback" not in stdout + stderr


def test_a_client_of_another_protocol_is_told_so(start: Start) -> None:
    engine = start()
    tell(engine, "hello", protocol=PROTOCOL + 1, flowtui="9", far=False)
    reply = hear_last(engine)
    assert reply["kind"] == "ProtocolError"
    assert str(PROTOCOL + 1) in reply["message"]
    assert engine.wait(30) == 1


def test_prints_of_libraries_never_reach_the_frames(start: Start) -> None:
    engine = start(noise=True)
    ready(engine)
    assert engine.stdin is not None
    _, stderr = engine.communicate(timeout=30)
    assert b"a library prints on stdout" in stderr
    assert b"and C code on descriptor 1" in stderr


def test_a_lost_device_ends_the_process_with_its_own_exit_code(start: Start, tmp_path: Path) -> None:
    from flowtui.engine.transport import EXIT_DEVICE_LOST

    marker = tmp_path / "marker"
    marker.write_bytes(b"1")
    engine = start(lose=[1, str(marker)])
    busy(engine)
    assert engine.wait(30) == EXIT_DEVICE_LOST
    assert engine.stderr is not None
    assert engine.stderr.read().decode().strip().endswith("RuntimeError: CUDA error: device-side assert triggered")


def test_sigterm_ends_it_while_it_computes(start: Start) -> None:
    engine = start(stall=1)
    busy(engine)
    engine.terminate()
    assert engine.wait(DEADLINE_S) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("error", "memory", "lost"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False, True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling x"), False, True),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (type("AcceleratorError", (RuntimeError,), {})("unspecified launch failure"), False, True),
        (RuntimeError("shape mismatch"), False, False),
        (ValueError("CUDA error in a file name"), False, False),
        (MemoryError(), True, False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True, False),
    ],
)
def test_failures_are_told_apart(error: Exception, memory: bool, lost: bool) -> None:
    assert (is_out_of_memory(error), lost_device(error)) == (memory, lost)


def test_out_of_memory_states_needed_and_free() -> None:
    text = (
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.25 GiB is "
        "free. Including non-PyTorch memory"
    )
    explained = explain(RuntimeError(text))
    assert isinstance(explained, OutOfMemoryError)
    assert "20.00 GiB" in explained.message
    assert "1.25 GiB" in explained.message
