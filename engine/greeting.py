"""How client and engine introduce themselves, and whether they understand each other. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from flowtui import __version__
from flowtui.cache.keys import SCHEMA
from flowtui.errors import EngineError, ProtocolError

from .devices import Device
from .protocol import PROTOCOL, Message


@dataclass(frozen=True, slots=True)
class Hello:
    """How an engine introduces itself.

    Attributes:
        flowtui, python, torch, transformers: Versions there ("" where not installed).
        devices: What it can compute on.
    """

    flowtui: str
    python: str
    torch: str
    transformers: str
    devices: tuple[Device, ...]


def read_hello(message: Message, host: str | None = None) -> Hello:
    """Reads an engine's greeting.

    Args:
        message: The greeting.
        host: The machine it came from, None for this one.

    Raises:
        EngineError: It speaks another protocol, or its layers mean something else than here.
        ProtocolError: It cannot be read.
    """
    protocol, schema = message["protocol"], message.get("schema")
    if (protocol, schema) != (PROTOCOL, SCHEMA):
        place = f" on {host}" if host else ""
        theirs = f"flowtui {_text(message.get('flowtui'))} (protocol {protocol}, layers {_text(schema)})"
        raise EngineError(
            f"The engine{place} is of {theirs}; here is flowtui {__version__} (protocol {PROTOCOL}, layers {SCHEMA}).",
            "Install the same flowtui on both sides.",
        )
    try:
        devices = tuple(Device(**device) for device in message["devices"])
    except TypeError as error:
        raise ProtocolError("The engine described a device in a way that is not known here.") from error
    return Hello(message["flowtui"], message["python"], message["torch"], message["transformers"], devices)


def _text(value: object) -> str:
    """A short value of another version's greeting; anything may be in there."""
    return value[:20] if isinstance(value, str) else str(value) if isinstance(value, int) else "unknown"
