"""Arrays as safetensors bytes: the one encoding that cache, run file and engine protocol share."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from flowtui.errors import RunFileError
from flowtui.safelog import escaped

MAX_HEADER_BYTES = 1 << 20
META_KEY = "flowtui"


def pack(arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, str]) -> bytes:
    """Encodes named arrays and a text-to-text table; equal content gives equal bytes."""
    # One metadata entry: safetensors writes several in an order that differs from call to call.
    table = {META_KEY: json.dumps(dict(meta), sort_keys=True)}
    return bytes(save({k: np.asarray(v, order="C") for k, v in arrays.items()}, table))


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Decodes what `pack` made.

    Raises:
        RunFileError: The bytes are not such an encoding, or its header is larger than 1 MiB.
    """
    if not isinstance(data, bytes) or len(data) < 8:
        raise RunFileError("A tensor block is cut short.")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise RunFileError("A tensor block's header is too large.")
    try:
        header = json.loads(data[8 : 8 + length])
        meta = json.loads(header.get("__metadata__", {}).get(META_KEY, "{}"))
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in meta.items()):
            raise ValueError("metadata must be text")
        return load(data), meta
    except (SafetensorError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        # The reader repeats what it found, whatever that is.
        raise RunFileError(f"A tensor block cannot be read: {escaped(str(error))[:120]}.") from error
