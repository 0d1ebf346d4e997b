"""What client and engine say to each other: length-prefixed msgpack maps with a schema. Torch-free.

A frame is a 4-byte big-endian length and a msgpack map with a "type". Replies repeat the `id` of their request.
Each side checks what it reads and what it writes: a frame outside the schema is a `ProtocolError`, never anything else.

client -> engine   hello, examine, fit, load, prepare, analyse, sweep, cancel, ping, beat, bye
engine -> client   hello (unasked, first), examined, fitted, loaded, prepared, progress*, layer*, record*,
                   done, error, pong
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import asdict, fields
from typing import Any, BinaryIO, Literal

import msgpack

from flowtui.errors import ProtocolError

from .spec import RunSpec

PROTOCOL = 3
"""Raised whenever a frame changes its meaning or fields."""

MAX_LAYER_BYTES = 512 << 20
MAX_PREPARE_BYTES = 128 << 20
MAX_OTHER_BYTES = 16 << 20

Sender = Literal["client", "engine"]
Message = dict[str, Any]
Types = tuple[type, ...]

_LENGTH = struct.Struct(">I")
_NONE = type(None)
_WHOLE: Types = (int,)
_NUMBER: Types = (int, float)
_TEXT: Types = (str,)
_TEXT_OR_NONE: Types = (str, _NONE)

_LOAD: dict[str, Types] = {
    "model": _TEXT,
    "revision": _TEXT_OR_NONE,
    "dtype": _TEXT,
    "device": _TEXT,
    "trust_remote_code": (bool,),
}

SCHEMA: dict[Sender, dict[str, dict[str, Types]]] = {
    "client": {
        # far: this client is on another machine. It never stops sending beats, and cannot see the engine's cache.
        "hello": {"protocol": _WHOLE, "flowtui": _TEXT, "far": (bool,)},
        "examine": {"id": _WHOLE},
        "load": {"id": _WHOLE, **_LOAD},
        # analyses: {analysis, parameters, layers or None} each. Nothing is loaded.
        "fit": {"id": _WHOLE, **_LOAD, "spec": (dict,), "analyses": (list,)},
        # answer: {ids, stopped} of a run's pinned answer, or None.
        "prepare": {"id": _WHOLE, "spec": (dict,), "answer": (dict, _NONE)},
        "analyse": {"id": _WHOLE, "analysis": _TEXT, "parameters": (dict,), "layers": (list,)},
        # One group of a sweep, as `flowtui.engine.sweeps.plan.Job.payload` makes it.
        "sweep": {"id": _WHOLE, "model": _TEXT, "image": (bytes, _NONE), "options": (dict,), "questions": (list,)},
        "cancel": {"id": _WHOLE},
        "ping": {"id": _WHOLE},
        # Says that the client is there. No reply: a line that takes none must not keep the engine from listening.
        "beat": {},
        "bye": {},
    },
    "engine": {
        # schema: version of what layers mean; it names them in caches.
        "hello": {
            "protocol": _WHOLE,
            "schema": _WHOLE,
            "flowtui": _TEXT,
            "python": _TEXT,
            "torch": _TEXT,
            "transformers": _TEXT,
            "devices": (list,),
        },
        # found: examination_to_plain(Examination).
        "examined": {"id": _WHOLE, "found": (dict,)},
        # fit: fit_to_plain(Fit), or None where what is taken cannot be told.
        "fitted": {"id": _WHOLE, "fit": (dict, _NONE), "seconds": _NUMBER},
        "loaded": {"id": _WHOLE, "model": (dict,), "seconds": _NUMBER},
        "prepared": {"id": _WHOLE, "prepared": (dict,), "seconds": _NUMBER},
        "progress": {
            "id": _WHOLE,
            "stage": _TEXT,
            "layer": (int, _NONE),
            "fraction": (int, float, _NONE),
            "seconds_left": (int, float, _NONE),
        },
        # seconds: engine time since the request's last layer (or its start); entry: LayerResult.to_bytes().
        "layer": {"id": _WHOLE, "layer": _WHOLE, "entry": (bytes,), "seconds": _NUMBER},
        # One item of a sweep (`flowtui.engine.sweeps.records`).
        "record": {"id": _WHOLE, "record": (dict,)},
        "done": {"id": _WHOLE, "seconds": _NUMBER},
        # id is None where the error belongs to no request.
        "error": {"id": (int, _NONE), "kind": _TEXT, "message": _TEXT, "hint": _TEXT},
        "pong": {"id": _WHOLE},
    },
}
_ITEMS: dict[str, Types] = {"layers": _WHOLE, "devices": (dict,), "analyses": (dict,), "questions": (dict,)}
_LIMITS = {"layer": MAX_LAYER_BYTES, "prepare": MAX_PREPARE_BYTES, "fit": MAX_PREPARE_BYTES, "sweep": MAX_PREPARE_BYTES}
_LARGEST = {sender: max(_LIMITS.get(kind, MAX_OTHER_BYTES) for kind in kinds) for sender, kinds in SCHEMA.items()}

_SPEC_TYPES: dict[str, Types] = {
    "model": _TEXT,
    "images": (list,),
    "question": _TEXT,
    "system": _TEXT_OR_NONE,
    "answer": _TEXT_OR_NONE,
    "max_new_tokens": _WHOLE,
    "revision": _TEXT_OR_NONE,
    "grouping": _TEXT,
    "dtype": _TEXT,
    "device": _TEXT,
    "trust_remote_code": (bool,),
}


def encode(sender: Sender, kind: str, /, **values: Any) -> bytes:
    """One frame, length included.

    Raises:
        ProtocolError: The message is outside the schema, cannot be encoded or is too large.
    """
    message = check(sender, {"type": kind, **values})
    try:
        payload: bytes = msgpack.packb(message, use_bin_type=True)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"A {kind} message cannot be sent: {error}.") from error
    _check_size(kind, len(payload))
    return _LENGTH.pack(len(payload)) + payload


def decode(sender: Sender, payload: bytes) -> Message:
    """Reads one frame's payload.

    Raises:
        ProtocolError: It is not msgpack, or not a message that this sender may send.
    """
    try:
        message = msgpack.unpackb(payload, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ProtocolError(f"The {sender} sent a frame that is not msgpack: {_short(error)}.") from error
    checked = check(sender, message)
    _check_size(checked["type"], len(payload))
    return checked


def check(sender: Sender, message: object) -> Message:
    """Checks a message against the schema and returns it.

    Raises:
        ProtocolError: Unknown type, a field missing, unknown or of the wrong type.
    """
    if not isinstance(message, dict):
        raise ProtocolError(f"The {sender} sent a {type(message).__name__} where a message belongs.")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in SCHEMA[sender]:
        raise ProtocolError(f"The {sender} sent a message of unknown type {_short(kind)}.")
    schema = SCHEMA[sender][kind]
    # A hello of another protocol version may have other fields: the version alone decides what to say about it.
    if kind == "hello" and type(message.get("protocol")) is int and message["protocol"] != PROTOCOL:
        return message
    _check_fields(f"The {sender}'s {kind} message", message, {"type": _TEXT, **schema})
    return message


def check_length(sender: Sender, header: bytes) -> int:
    """The payload's length from a frame's first four bytes.

    Raises:
        ProtocolError: It is larger than anything this sender may send.
    """
    (length,) = _LENGTH.unpack(header)
    if length > _LARGEST[sender]:
        raise ProtocolError(
            f"The {sender} announced a frame of {length} bytes (starting with {bytes(header)!r}); "
            f"the limit is {_LARGEST[sender]}."
        )
    return int(length)


def read_frame(stream: BinaryIO, sender: Sender) -> Message | None:
    """Reads one frame, waiting for it; None at the end of the stream.

    Raises:
        ProtocolError: The stream ends inside a frame, or the frame is malformed or too large.
    """
    header = _read_exactly(stream, _LENGTH.size)
    if not header:
        return None
    if len(header) == _LENGTH.size:
        length = check_length(sender, header)
        payload = _read_exactly(stream, length)
        if len(payload) == length:
            return decode(sender, payload)
    raise ProtocolError(f"The {sender}'s stream ended inside a frame.")


async def read_frame_async(stream: asyncio.StreamReader, sender: Sender) -> Message | None:
    """`read_frame` on an asyncio stream; large frames are decoded off the event loop."""
    try:
        header = await stream.readexactly(_LENGTH.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ProtocolError(f"The {sender}'s stream ended inside a frame.") from error
    length = check_length(sender, header)
    try:
        payload = await stream.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ProtocolError(f"The {sender}'s stream ended inside a frame.") from error
    if length > 1 << 20:
        return await asyncio.to_thread(decode, sender, payload)
    return decode(sender, payload)


def spec_to_plain(spec: RunSpec) -> dict[str, Any]:
    """A spec as the plain data that `prepare` carries."""
    return {**asdict(spec), "images": list(spec.images)}


def spec_from_plain(plain: dict[str, Any]) -> RunSpec:
    """Inverse of `spec_to_plain`.

    Raises:
        ProtocolError: A field is missing, unknown or of the wrong type.
        UsageError: The fields have their types, but a value that cannot be meant.
    """
    _check_fields("The spec", plain, _SPEC_TYPES)
    if not all(type(image) is bytes for image in plain["images"]):
        raise ProtocolError("The spec's images are not bytes.")
    return RunSpec(**{**plain, "images": tuple(plain["images"])})


def _check_fields(where: str, values: dict[Any, Any], types: dict[str, Types]) -> None:
    for name in values:
        if name not in types:
            raise ProtocolError(f"{where} has an unknown field {_short(name)}.")
    for name, allowed in types.items():
        if name not in values:
            raise ProtocolError(f"{where} lacks the field {name}.")
        value = values[name]
        # `type`, not isinstance: True is no number here.
        if type(value) not in allowed:
            raise ProtocolError(f"{where} has a {type(value).__name__} as {name}.")
        if type(value) is list and name in _ITEMS and not all(type(item) in _ITEMS[name] for item in value):
            raise ProtocolError(f"{where} has an item of the wrong type in {name}.")


def _check_size(kind: str, size_bytes: int) -> None:
    limit = _LIMITS.get(kind, MAX_OTHER_BYTES)
    if size_bytes > limit:
        raise ProtocolError(f"A {kind} message of {size_bytes} bytes is over the limit of {limit}.")


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    """`count` bytes, or fewer where the stream ends; a pipe may hand them over in pieces."""
    pieces: list[bytes] = []
    while count > 0 and (piece := stream.read(min(count, 1 << 20))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code} with {len(data)} bytes")


def _short(value: object) -> str:
    # What is nested may be too deep to be written at all.
    plain = isinstance(value, (str, bytes, int, float, Exception, _NONE))
    text = str(value) if isinstance(value, Exception) else repr(value) if plain else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


if set(_SPEC_TYPES) != {field.name for field in fields(RunSpec)}:
    raise ImportError("the protocol's spec fields are not those of RunSpec")
