"""What plain data is, and how much of it there may be: the only thing run files are made of.

Plain data is None, bool, int, float, str, bytes, list, tuple and dict with text keys, of exactly these types.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any


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
    opcodes: int = 500_000
    depth: int = 64
    nodes: int = 250_000
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


def check_plain(value: object, limits: Limits = LIMITS) -> int:
    """Checks that a value is plain data within the limits.

    Returns:
        How many instructions, at most, the pickle has that it is written as.

    Raises:
        NotPlainError: It is not; the message is the reason.
    """
    nodes, size, steps = 0, 0, 3
    # A list around the value, so that it is looked at like everything inside.
    pending: list[tuple[Any, int]] = [([value], -1)]
    while pending:
        container, depth = pending.pop()
        # A cycle ends here too: it only ever gets deeper.
        if depth >= limits.depth:
            raise NotPlainError(f"it is nested more than {limits.depth} levels deep")
        # Counted before they are queued, so that the queue is never longer than the cap.
        nodes += 2 * len(container) if type(container) is dict else len(container)
        if nodes > limits.nodes:
            raise NotPlainError(f"it holds more than {limits.nodes} values")
        # A mark and an end for every thousand.
        steps += 2 + len(container) // 500
        for child in _members(container):
            kind = type(child)
            if kind is list or kind is dict or kind is tuple:
                # An empty one holds nothing to look at, unless it is itself too deep.
                if child or depth + 1 >= limits.depth:
                    pending.append((child, depth + 1))
            else:
                size += check_scalar(child, limits)
        if size > limits.file_bytes:
            raise NotPlainError(f"its text and bytes add up to more than {limits.file_bytes} bytes")
    # Frames of 64 KiB; four bytes a character, and no other value is longer than its cap and five bytes.
    return nodes + steps + ((4 * size + (limits.int_bytes + 5) * nodes) >> 15)


def _members(container: Any) -> Iterable[Any]:
    if type(container) is not dict:
        return container  # type: ignore[no-any-return]
    if container and set(map(type, container)) != {str}:
        kind = next(type(key).__name__ for key in container if type(key) is not str)
        raise NotPlainError(f"a key is {kind}, not text")
    return chain(container, container.values())


def check_scalar(item: Any, limits: Limits) -> int:
    """Returns the size in bytes (characters for text) that counts towards the total."""
    kind = type(item)
    if kind is str:
        if len(item) > limits.text_chars:
            raise NotPlainError(f"a text is longer than {limits.text_chars} characters")
        if not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError:
                raise NotPlainError("a text holds half a character (a lone surrogate)") from None
        return len(item)
    if kind is int:
        if item.bit_length() >= 8 * limits.int_bytes:
            raise NotPlainError(f"a whole number is larger than {limits.int_bytes} bytes")
        return 0
    if kind is bytes:
        if len(item) > limits.blob_bytes:
            raise NotPlainError(f"a bytes value is larger than {limits.blob_bytes} bytes")
        return len(item)
    if item is None or kind is bool or kind is float:
        return 0
    raise NotPlainError(f"a value is of type {kind.__name__}")
