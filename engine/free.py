"""What a device has left."""

from __future__ import annotations

import torch

from .host import free_host_bytes
from .loaded import Loaded


def free_on(device: torch.device) -> int:
    """Bytes that this process can still have on a device; what torch keeps there for later is free, too."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    # Other accelerators share the machine's memory.
    return free_host_bytes()


def free_beside(loaded: Loaded) -> int:
    """Bytes that the devices of a loaded model have left, all together."""
    devices = {parameter.device for parameter in loaded.model.parameters()}
    return sum(free_on(device) for device in devices)
