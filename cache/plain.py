"""What plain data is, and how much of it there may be: the only thing run files are made of.

Plain data is None, bool, int, float, str, bytes, list, tuple and dict with text keys, of exactly these types.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much plain data may be.

    Attributes:
        file_bytes: Size of the pickle, and of all text and bytes in it when shared ones count each time.
        opcodes: Steps of the interpreter.
        depth: Containers inside each other.
        nodes: Values and keys, shared ones counted each time.
        int_bytes: Size of one whole number.
        text_chars: Length of one text.
        blob_bytes: Size of one bytes value.
    """

    file_bytes: int = 1 << 30
    opcodes: int = 2_000_000
    depth: int = 64
    nodes: int = 1_000_000
    int_bytes: int = 64
    text_chars: int = 1 << 24
    blob_bytes: int = 1 << 28


LIMITS = Limits()


class NotPlainError(ValueError):
    """The reason why something is not plain data; never leaves this folder."""


def shown(name: str | os.PathLike[str]) -> str:
    """A file's name with control characters made visible."""
    text = os.fspath(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def check_plain(value: object, limits: Limits = LIMITS) -> None:
    """Checks that a value is plain data within the limits.

    Raises:
        NotPlainError: It is not; the message is the reason.
    """
    nodes, size = 1, 0
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        kind = type(item)
        children: list[object] | tuple[object, ...]
        if kind is list or kind is tuple:
            children = item  # type: ignore[assignment]
        elif kind is dict:
            children = _members(item)  # type: ignore[arg-type]
        else:
            size += check_scalar(item, limits)
            if size > limits.file_bytes:
                raise NotPlainError(f"its text and bytes add up to more than {limits.file_bytes} bytes")
            continue
        # A cycle ends here too: it only ever gets deeper.
        if depth >= limits.depth:
            raise NotPlainError(f"it is nested more than {limits.depth} levels deep")
        # Counted before they are queued, so that the queue is never longer than the cap.
        nodes += len(children)
        if nodes > limits.nodes:
            raise NotPlainError(f"it holds more than {limits.nodes} values")
        pending.extend((child, depth + 1) for child in children)


def _members(table: dict[object, object]) -> list[object]:
    for key in table:
        if type(key) is not str:
            raise NotPlainError(f"a key is {type(key).__name__}, not text")
    return [*table, *table.values()]


def check_scalar(item: object, limits: Limits) -> int:
    """Returns the size in bytes (characters for text) that counts towards the total."""
    if item is None or type(item) is bool or type(item) is float:
        return 0
    if type(item) is str:
        if len(item) > limits.text_chars:
            raise NotPlainError(f"a text is longer than {limits.text_chars} characters")
        if not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError:
                raise NotPlainError("a text holds half a character (a lone surrogate)") from None
        return len(item)
    if type(item) is bytes:
        if len(item) > limits.blob_bytes:
            raise NotPlainError(f"a bytes value is larger than {limits.blob_bytes} bytes")
        return len(item)
    if type(item) is int:
        if item.bit_length() >= 8 * limits.int_bytes:
            raise NotPlainError(f"a whole number is larger than {limits.int_bytes} bytes")
        return 0
    raise NotPlainError(f"a value is of type {type(item).__name__}")
