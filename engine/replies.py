"""What an engine's replies mean to its client. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flowtui.errors import KINDS, EngineError, FlowtuiError, ProtocolError

from .protocol import Message

T = TypeVar("T")
V = TypeVar("V")

_LAST = frozenset({"examined", "fitted", "loaded", "prepared", "done", "error", "pong"})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an engine is.

    Attributes:
        stage: "start", "fit", "load", "prepare", "wait" (for another process that computes the same), "reconnect" or an
            analysis' name.
        analysis: The analysis, or None.
        layer: The layer (or K) at work, or None.
        fraction: Of this stage, 0 to 1, or None where nobody knows.
        seconds_left: Of this stage, or None.
        text: What a person should read, where the stage's name does not say it.
    """

    stage: str
    analysis: str | None = None
    layer: int | None = None
    fraction: float | None = None
    seconds_left: float | None = None
    text: str = ""


def to_progress(reply: Message, analysis: str | None) -> Progress:
    """The progress that a progress reply tells of."""
    return Progress(reply["stage"], analysis, reply["layer"], reply["fraction"], reply["seconds_left"])


def is_last(reply: Message | None) -> bool:
    """Whether nothing comes after a reply; None stands for an engine that is gone."""
    return reply is None or reply["type"] in _LAST


def raise_error(reply: Message) -> None:
    """Raises the error that an error reply stands for; other replies pass."""
    if reply["type"] == "error":
        raise KINDS.get(reply["kind"], EngineError)(reply["message"], reply["hint"])


def checked(build: Callable[[V], T], value: V) -> T:
    """Builds an object from what the engine sent.

    Raises:
        ProtocolError: It cannot be built from that.
    """
    try:
        return build(value)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, FlowtuiError) as error:
        raise ProtocolError(f"The engine sent something that is not valid: {type(error).__name__}: {error}.") from error
