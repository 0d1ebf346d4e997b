"""What an engine that is not ours, or a client that is not, may send."""

from __future__ import annotations

import asyncio
import io
import struct
from functools import partial
from typing import Any

import msgpack

from flowtui.engine.protocol import PROTOCOL, Sender, read_frame, read_frame_async, spec_from_plain, spec_to_plain
from flowtui.engine.replies import checked
from flowtui.engine.results import LayerResult, model_from_plain, prepared_from_plain
from flowtui.engine.spec import RunSpec
from tests.trust.attacks.attack import Attack, refused
from tests.trust.attacks.caches import EVIL


def _frame(content: object) -> bytes:
    data = content if isinstance(content, bytes) else msgpack.packb(content)
    return struct.pack(">I", len(data)) + data


def _nested(depth: int) -> bytes:
    return b"\x81\xa4type" + b"\x91" * depth + b"\xc0"


HELLO = {"type": "hello", "protocol": PROTOCOL, "flowtui": "1", "torch": "2", "transformers": "5", "devices": []}
LAYER = {"type": "layer", "id": 1, "layer": 0, "entry": b"", "seconds": 0.0}
FRAMES: dict[str, bytes] = {
    "half a length": b"\0\0",
    "a length without a frame": struct.pack(">I", 100),
    "a frame of 4 GB": b"\xff\xff\xff\xff" + b"x" * 100,
    "a frame of 600 MB": struct.pack(">I", 600 << 20) + b"x",
    "a greeting of a shell": b"Last login: Mon Jan  1\r\n" * 10,
    "an answer of a web server": b"HTTP/1.1 200 OK\r\n\r\n",
    "a pickle": EVIL,
    "a framed pickle": _frame(EVIL),
    "no msgpack": _frame(b"\xc1"),
    "two values": _frame(msgpack.packb(HELLO) * 2),
    "nothing": _frame(b""),
    "a list": _frame([1]),
    "a text": _frame("hello"),
    "no type": _frame({"id": 1}),
    "a type that is a list": _frame({"type": ["hello"]}),
    "an unknown type": _frame({"type": "exec", "code": "x"}),
    "a type of many characters": _frame({"type": "x" * 1_000_000}),
    "a type that steers": _frame({"type": "\x1b]52;c;AA\x07"}),
    "a request of the other side": _frame({"type": "bye"}),
    "a field too many": _frame({**HELLO, "code": "x"}),
    "a field too few": _frame({k: v for k, v in HELLO.items() if k != "torch"}),
    "a number that is true": _frame({**LAYER, "id": True}),
    "an id that is text": _frame({**LAYER, "id": "1"}),
    "an entry that is text": _frame({**LAYER, "entry": "x"}),
    "devices that are numbers": _frame({**HELLO, "devices": [1]}),
    "keys that are numbers": _frame({1: 2}),
    "a key twice": _frame(b"\x82\xa4type\xa3bye\xa4type\xa5hello"),
    "an extension": _frame(b"\x81\xa4type\xc7\x04\x05evil"),
    "a time as an extension": _frame(b"\x81\xa4type\xd6\xff\0\0\0\0"),
    "text that is no UTF-8": _frame(b"\x81\xa4type\xa2\xff\xfe"),
    "a text of 4 GB": _frame(b"\x81\xa4type\xdb\xff\xff\xff\xff"),
    "a list of 4 G": _frame(b"\x81\xa4type\xdd\xff\xff\xff\xff"),
    "a table of 4 G": _frame(b"\xdf\xff\xff\xff\xff"),
    "bytes of 4 GB": _frame(b"\x81\xa4type\xc6\xff\xff\xff\xff"),
    "a thousand lists": _frame(_nested(1000)),
    "a million lists": _frame(_nested(1_000_000)),
}
"""What is refused from an engine and, but for its own words, from a client."""

PARTS: dict[str, tuple[Any, object]] = {
    "a layer that is a pickle": (LayerResult.from_bytes, EVIL),
    "a layer of 2**63 bytes": (LayerResult.from_bytes, b"\xff" * 100),
    "a layer of nothing": (LayerResult.from_bytes, b""),
    "a model of nothing": (model_from_plain, {}),
    "a model with more": (model_from_plain, {"code": 1}),
    "a model of 10**12 layers": (model_from_plain, {"layers": 10**12}),
    "tokens that are none": (prepared_from_plain, {"model": {}, "tokens": [], "answer": None, "image_sizes": 1}),
    "a preparation that is a list": (prepared_from_plain, []),
}


def _read(data: bytes, sender: Sender) -> None:
    refused(lambda: read_frame(io.BytesIO(data), sender), 6)

    async def read() -> object:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await read_frame_async(stream, sender)

    refused(lambda: asyncio.run(read()), 6)


def _build(build: Any, value: Any) -> None:
    refused(lambda: checked(build, value), 6)


def _spec(**changed: object) -> None:
    plain = spec_to_plain(RunSpec("demo", (b"x",), "?"))
    refused(lambda: spec_from_plain({**plain, **changed}), 2, 6)


SPECS: dict[str, dict[str, object]] = {
    "an image that is a path": {"images": ["/etc/passwd"]},
    "code that is allowed with a word": {"trust_remote_code": "yes"},
    "a field more": {"code": "x"},
    "a question that is bytes": {"question": b"x"},
    "no images": {"images": []},
    "tokens below nothing": {"max_new_tokens": -1},
}


def attacks() -> list[Attack]:
    """All of them."""
    found = [Attack("frames", f"engine: {name}", partial(_read, data, "engine")) for name, data in FRAMES.items()]
    own = "a request of the other side"
    found += [Attack("frames", f"client: {n}", partial(_read, d, "client")) for n, d in FRAMES.items() if n != own]
    found += [Attack("frames", f"part: {name}", partial(_build, *part)) for name, part in PARTS.items()]
    return found + [Attack("frames", f"spec: {name}", partial(_spec, **changed)) for name, changed in SPECS.items()]
