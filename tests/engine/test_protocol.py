"""Frames: what is well formed survives the trip, everything else is a ProtocolError."""

from __future__ import annotations

import asyncio
import io
import random
import struct
from datetime import UTC, datetime
from typing import Any

import msgpack
import pytest

from flowtui.engine import protocol
from flowtui.engine.protocol import decode, encode, read_frame, read_frame_async, spec_from_plain, spec_to_plain
from flowtui.engine.spec import RunSpec
from flowtui.errors import FlowtuiError, ProtocolError, UsageError

LOAD: dict[str, Any] = {
    "id": 1,
    "model": "demo",
    "revision": None,
    "dtype": "auto",
    "device": "cpu",
    "trust_remote_code": False,
}
LAYER: dict[str, Any] = {"id": 7, "layer": 3, "entry": b"\x00\xff", "seconds": 0.25}


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


@pytest.mark.parametrize(
    ("sender", "kind", "values"),
    [
        ("client", "hello", {"protocol": protocol.PROTOCOL, "flowtui": "0.1.0", "far": False}),
        ("client", "load", LOAD),
        ("client", "analyse", {"id": 2, "analysis": "cam", "parameters": {"seed": 1}, "layers": [0, 5]}),
        ("client", "fit", {**LOAD, "spec": {}, "analyses": [{"analysis": "cam", "parameters": {}, "layers": None}]}),
        ("client", "bye", {}),
        ("engine", "fitted", {"id": 1, "fit": None, "seconds": 0.5}),
        ("engine", "layer", LAYER),
        ("engine", "progress", {"id": 1, "stage": "cam", "layer": None, "fraction": 0.5, "seconds_left": None}),
        ("engine", "error", {"id": None, "kind": "EngineError", "message": "änderung \u2028", "hint": ""}),
    ],
)
def test_messages_survive_the_trip(sender: Any, kind: str, values: dict[str, Any]) -> None:
    frame = encode(sender, kind, **values)
    # The layout, read with another decoder than the module's own.
    assert msgpack.Unpacker(io.BytesIO(frame[4:])).unpack() == {"type": kind, **values}
    stream = io.BytesIO(frame + frame)
    assert [read_frame(stream, sender) for _ in range(3)] == [{"type": kind, **values}] * 2 + [None]


def test_both_readers_agree_on_frames_of_every_size() -> None:
    entries = [bytes([n % 251]) * size for n, size in enumerate((0, 1, 255, 70_000, 3 << 20))]
    data = b"".join(encode("engine", "layer", **{**LAYER, "entry": entry}) for entry in entries)

    async def read_all() -> list[bytes]:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        found = []
        while (message := await read_frame_async(stream, "engine")) is not None:
            found.append(message["entry"])
        return found

    stream = io.BytesIO(data)
    sync = []
    while (message := read_frame(stream, "engine")) is not None:
        sync.append(message["entry"])
    assert asyncio.run(read_all()) == sync == entries


@pytest.mark.parametrize("cut", [1, 3, 4, 5, -1])
def test_a_stream_that_ends_inside_a_frame_is_an_error(cut: int) -> None:
    frame = encode("client", "ping", id=1)[:cut]
    with pytest.raises(ProtocolError, match="ended inside a frame"):
        read_frame(io.BytesIO(frame), "client")

    async def read() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(frame)
        stream.feed_eof()
        await read_frame_async(stream, "client")

    with pytest.raises(ProtocolError, match="ended inside a frame"):
        asyncio.run(read())


def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    class Bomb(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert 0 <= size <= 4, "the payload was read"
            return super().read(size)

    with pytest.raises(ProtocolError, match="limit"):
        read_frame(Bomb(struct.pack(">I", 1 << 31)), "engine")
    # What a talkative login shell prints before the first frame.
    with pytest.raises(ProtocolError, match="Welc"):
        read_frame(io.BytesIO(b"Welcome to the server\n"), "engine")


def test_only_layers_and_images_may_be_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_OTHER_BYTES", 1000)
    big = "x" * 1001
    with pytest.raises(ProtocolError, match="over the limit"):
        encode("client", "load", **{**LOAD, "model": big})
    payload = msgpack.packb({"type": "load", **LOAD, "model": big})
    with pytest.raises(ProtocolError, match="over the limit"):
        decode("client", payload)
    assert len(encode("engine", "layer", **{**LAYER, "entry": bytes(2000)})) > 2000


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "load",
        {},
        {"type": "unknown"},
        {"type": ["load"]},
        {"type": {"a": 1}},
        {"type": "loaded", "id": 1, "model": {}, "seconds": 0.0},  # the engine's, not the client's
        {k: v for k, v in {"type": "load", **LOAD}.items() if k != "dtype"},
        {"type": "load", **LOAD, "extra": 1},
        {"type": "load", **LOAD, "id": True},
        {"type": "load", **LOAD, "id": "1"},
        {"type": "load", **LOAD, "trust_remote_code": 1},
        {"type": "load", **LOAD, "model": b"demo"},
        {"type": "load", **LOAD, "revision": 3},
        {"type": "analyse", "id": 1, "analysis": "cam", "parameters": {}, "layers": [0, "1"]},
        {"type": "analyse", "id": 1, "analysis": "cam", "parameters": {}, "layers": [True]},
        {"type": "analyse", "id": 1, "analysis": "cam", "parameters": [], "layers": []},
        {"type": "hello", "flowtui": "1"},
        {"type": "hello", "protocol": None, "flowtui": "1"},
        {"type": "ping", "id": datetime(2026, 1, 1, tzinfo=UTC)},
        {"type": "ping", "id": msgpack.ExtType(5, b"abc")},
        {"type": "ping", "id": 1, 3: 4},
    ],
)
def test_what_is_outside_the_schema_is_refused(message: object) -> None:
    payload = msgpack.packb(message, datetime=True)
    with pytest.raises(ProtocolError) as caught:
        decode("client", payload)
    assert caught.value.message.endswith(".")


def test_garbage_raises_nothing_but_protocol_errors() -> None:
    rng = random.Random(0)
    frame = encode("engine", "layer", **LAYER)[4:]
    cases = [rng.randbytes(rng.randrange(60)) for _ in range(3000)]
    for _ in range(3000):  # a valid message with a few bytes changed
        broken = bytearray(frame)
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        cases.append(bytes(broken))
    cases += [b"\x91" * 100_000, b"\x81\xa1a" * 50_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
    refused = 0
    for case in cases:
        for sender in ("client", "engine"):
            try:
                decode(sender, case)  # type: ignore[arg-type]
            except ProtocolError:
                refused += 1
    assert refused > 9000


@pytest.mark.parametrize("value", ["\udcff", 1 << 70, object(), {1, 2}])
def test_what_msgpack_cannot_hold_is_a_protocol_error(value: object) -> None:
    with pytest.raises(ProtocolError):
        encode("client", "analyse", id=1, analysis="cam", parameters={"seed": value}, layers=[])


def test_a_hello_of_another_version_is_read_whatever_else_it_holds() -> None:
    payload = msgpack.packb({"type": "hello", "protocol": 99, "colour": "blue"})
    assert decode("engine", payload)["protocol"] == 99
    with pytest.raises(ProtocolError, match="lacks"):
        decode("engine", msgpack.packb({"type": "hello", "protocol": protocol.PROTOCOL}))


def test_specs_survive_the_trip() -> None:
    spec = RunSpec("m", (b"\x89PNG", b"two"), "What?", system="s", answer="a", trust_remote_code=True, device="cuda:1")
    frame = encode("client", "prepare", id=1, spec=spec_to_plain(spec), answer=None)
    message = read_frame(io.BytesIO(frame), "client")
    assert message is not None
    assert spec_from_plain(message["spec"]) == spec


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"images": ["text"]}, ProtocolError),
        ({"images": b"x"}, ProtocolError),
        ({"max_new_tokens": "3"}, ProtocolError),
        ({"max_new_tokens": True}, ProtocolError),
        ({"question": None}, ProtocolError),
        ({"other": 1}, ProtocolError),
        ({"images": []}, UsageError),
        ({"question": "  "}, UsageError),
    ],
)
def test_specs_that_are_not_valid_are_refused(change: dict[str, Any], error: type[FlowtuiError]) -> None:
    with pytest.raises(error):
        spec_from_plain({**spec_to_plain(RunSpec("m", (b"x",), "q")), **change})
