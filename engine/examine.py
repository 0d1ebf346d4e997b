"""What an engine has to work with, found by trying it: torch, a GPU that computes, a cache that opens.

Imported where that is asked for: it loads torch.
"""

from __future__ import annotations

import warnings
from typing import Any

from flowtui.errors import CacheError

from .devices import find_devices
from .examination import Examination
from .failures import first_line


def examine() -> Examination:
    """Tries everything; never raises."""
    return Examination(**_try_torch(), **_try_cache())


def _try_torch() -> dict[str, Any]:
    try:
        import torch
        import transformers  # noqa: F401
    except Exception as error:  # noqa: BLE001  (a broken installation may raise anything)
        return {"torch_error": f"{type(error).__name__}: {first_line(error)}"}
    version = torch.version
    hip = getattr(version, "hip", None)
    built_for = f"ROCm {hip}" if hip else f"CUDA {version.cuda}" if version.cuda else "the CPU"
    there = [device.model for device in find_devices() if device.name != "cpu"]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            gpus = [_compute_on(torch.device("cuda", n)) for n in range(torch.cuda.device_count())]
        except Exception as error:  # noqa: BLE001  (drivers fail in every way)
            return {"built_for": built_for, "gpu_error": first_line(error)}
    if gpus or not there:
        return {"built_for": built_for, "gpus": tuple(gpus)}
    reason = first_line(said[0].message) if said and isinstance(said[0].message, Exception) else "it finds none"
    why = f"it is built for {built_for}" if built_for == "the CPU" else reason
    return {"built_for": built_for, "gpu_error": f"torch cannot use {there[0]}: {why}"}


def _compute_on(device: Any) -> str:
    """A GPU's name, after a sum on it."""
    import torch

    if float(torch.ones(2, device=device).sum()) != 2:
        raise RuntimeError(f"{device} cannot add.")
    return str(torch.cuda.get_device_name(device))


def _try_cache() -> dict[str, Any]:
    from flowtui.cache.store import LayerCache

    try:
        with LayerCache.open() as store:
            found = store.info()
    except CacheError as error:
        return {"cache_error": str(error)}
    return {
        "cache_folder": str(found.folder),
        "cache_reason": found.reason,
        "cache_layers": found.entries,
        "cache_bytes": found.bytes,
    }
