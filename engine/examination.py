"""What an engine has to work with, as it travels. Torch-free; `examine` finds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .sequence import as_text, as_whole


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        torch_error: Why torch or transformers cannot be imported, or "".
        built_for: What torch was built for: "CUDA 12.8", "ROCm 6.4" or "the CPU".
        gpus: GPUs that torch has just computed on.
        gpu_error: Why it computes on none, although there is one, or "".
        cache_folder, cache_reason: Where the cache is and why; "" where it cannot be used.
        cache_layers, cache_bytes: What is in it.
        cache_error: Why it cannot be used, or "".
    """

    torch_error: str = ""
    built_for: str = ""
    gpus: tuple[str, ...] = ()
    gpu_error: str = ""
    cache_folder: str = ""
    cache_reason: str = ""
    cache_layers: int = 0
    cache_bytes: int = 0
    cache_error: str = ""


def examination_to_plain(found: Examination) -> dict[str, Any]:
    """An examination as plain data, for the engine protocol."""
    return {**asdict(found), "gpus": list(found.gpus)}


def examination_from_plain(plain: dict[str, Any]) -> Examination:
    """Inverse of `examination_to_plain`."""
    return Examination(
        torch_error=as_text(plain["torch_error"]),
        built_for=as_text(plain["built_for"]),
        gpus=tuple(map(as_text, plain["gpus"])),
        gpu_error=as_text(plain["gpu_error"]),
        cache_folder=as_text(plain["cache_folder"]),
        cache_reason=as_text(plain["cache_reason"]),
        cache_layers=as_whole(plain["cache_layers"]),
        cache_bytes=as_whole(plain["cache_bytes"]),
        cache_error=as_text(plain["cache_error"]),
    )
