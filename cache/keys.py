"""The name under which the cache keeps one layer of one analysis: a hash of everything its numbers depend on."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.errors import CacheError

SCHEMA = 2
"""Goes up whenever an analysis' numbers or arrays change meaning: every older entry is then simply never asked for."""

_DIGEST_BYTES = 32


def layer_key(
    *,
    fingerprint: str,
    processor: str,
    dtype: str,
    token_ids: Sequence[int] | NDArray[np.integer[Any]],
    images: Sequence[bytes],
    answer_ids: Sequence[int] | NDArray[np.integer[Any]],
    analysis: str,
    parameters: Mapping[str, Any],
    layer: int,
    schema: int = SCHEMA,
) -> str:
    """Names one layer of one analysis.

    Args:
        fingerprint: Hash over the model's weights and configuration.
        processor: Hash over, or name of, what turns images and text into inputs.
        dtype: Of the loaded weights.
        token_ids: [N], prompt and answer.
        images: Pixels or encoded files, in prompt order.
        answer_ids: [T].
        analysis: Name of the analysis.
        parameters: Plain data, complete.
        layer: 0-based layer, or K.
        schema: Version of the entries' meaning.

    Returns:
        64 hexadecimal digits. Different arguments never share an encoding; 1 and 1.0 differ too.

    Raises:
        CacheError: A parameter is not plain data.
    """
    content = {
        "schema": schema,
        "fingerprint": fingerprint,
        "processor": processor,
        "dtype": dtype,
        "token_ids": _ids(token_ids),
        "images": [_digest(bytes(image)) for image in images],
        "answer_ids": _ids(answer_ids),
        "analysis": analysis,
        "parameters": dict(parameters),
        "layer": int(layer),
    }
    return blake2b(_encode(content), digest_size=_DIGEST_BYTES, person=b"flowtui-layer").hexdigest()


@lru_cache(maxsize=8)
def _digest(data: bytes) -> bytes:
    # A run asks for one key per layer: the images are hashed once, not once per layer.
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _ids(values: Sequence[int] | NDArray[np.integer[Any]]) -> bytes:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise CacheError(f"Token ids must be whole numbers, not {array.dtype}.")
    return array.astype("<i8").tobytes()


def _encode(value: object) -> bytes:
    """A type letter, the length, the content: no two values share an encoding."""
    if value is None or value is True or value is False:
        return _block(b"c", repr(value).encode())
    if type(value) is int:
        return _block(b"i", b"%x" % value)
    if type(value) is float:
        return _block(b"f", struct.pack("<d", value))
    if type(value) is str:
        return _block(b"s", value.encode("utf-8", "surrogatepass"))
    if type(value) is bytes:
        return _block(b"b", value)
    if isinstance(value, (list, tuple)):
        return _block(b"l", b"".join(map(_encode, value)))
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            raise CacheError("A cache key's parameters have a name that is not text.")
        return _block(b"d", b"".join(_encode(key) + _encode(value[key]) for key in sorted(value)))
    raise CacheError(f"A cache key's parameters hold a {type(value).__name__}, which is not plain data.")


def _block(letter: bytes, content: bytes) -> bytes:
    return letter + struct.pack("<Q", len(content)) + content
