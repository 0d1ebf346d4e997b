"""What a model's weights take, known before any of them is read."""

from __future__ import annotations

import json
import logging
import math
import struct
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoModelForImageTextToText, PreTrainedConfig, PreTrainedModel

from .fit import weights_refusal
from .free import free_on

log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 64 << 20
CPU = torch.device("cpu")


def build_empty(config: PreTrainedConfig, dtype: torch.dtype, *, trust_remote_code: bool = False) -> PreTrainedModel:
    """The model of a configuration, with parameters that have shapes and no storage.

    Raises:
        Exception: Whatever its code raises; not every family can be built this way.
    """
    with torch.device("meta"):
        # A copy: what is built writes its settings into its configuration.
        made = cast(Any, AutoModelForImageTextToText).from_config(
            deepcopy(config), dtype=dtype, trust_remote_code=trust_remote_code
        )
    return cast(PreTrainedModel, made.eval().requires_grad_(False))


def weights_bytes(model: torch.nn.Module) -> int:
    """What parameters and buffers take, or would take; one that several modules share counts once."""
    return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))


def stored_bytes(folder: Path) -> int | None:
    """What the tensors in a folder's safetensors files take there, from their headers; None where that is not told."""
    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, MAX_HEADER_BYTES)))
            total += sum(_span(entry) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            return None
    return total or None


def needed_bytes(
    config: PreTrainedConfig, dtype: torch.dtype, folder: Path | None, *, trust_remote_code: bool = False
) -> int | None:
    """What a model's weights will take; None where nobody knows.

    Args:
        config: Its configuration.
        dtype: What they are loaded in.
        folder: Where its files are, if they are on this machine.
        trust_remote_code: Whether code that comes with the model may run.
    """
    if getattr(config, "quantization_config", None) is not None:
        # Packed weights stay packed; what the configuration would build is far larger.
        return None if folder is None else stored_bytes(folder)
    try:
        return weights_bytes(build_empty(config, dtype, trust_remote_code=trust_remote_code))
    except Exception:
        log.info("the model cannot be built without its weights", exc_info=True)
    stored = None if folder is None else stored_bytes(folder)
    kept = stored_dtype(config)
    return stored if stored is None or kept is None else stored * dtype.itemsize // kept.itemsize


def check_weights(
    name: str, config: PreTrainedConfig, dtype: torch.dtype, device: torch.device, needed: int | None
) -> None:
    """Refuses weights that do not fit, before they are read.

    Raises:
        OutOfMemoryError: With needed and free bytes.
    """
    if needed is None:
        return
    in_words = str(dtype).removeprefix("torch.")
    if needed > (free := free_on(device)):
        raise weights_refusal(name, in_words, str(device), needed, free)
    # On their way to a GPU they stay in the file's pages, unless they have to be made another type.
    if device.type == "cuda" and stored_dtype(config) != dtype and needed > (free := free_on(CPU)):
        raise weights_refusal(name, in_words, "the CPU (on their way to the GPU)", needed, free)


def stored_dtype(config: PreTrainedConfig) -> torch.dtype | None:
    """What the checkpoint holds, as far as its configuration tells."""
    found: torch.dtype | None = config.dtype or config.get_text_config(decoder=True).dtype
    return found


def _span(entry: dict[str, Any]) -> int:
    """Bytes of one tensor in a safetensors header."""
    start, end = entry["data_offsets"]
    if math.prod(entry["shape"]) and not 0 <= start < end:
        raise ValueError("the header's offsets are malformed")
    return int(end - start)
