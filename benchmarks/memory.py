"""Peak memory of one side, in a process of its own: what it takes on top of the loaded model.

On a CPU that is the peak resident size (VmHWM, which Linux lets a process reset) minus the resident size before the
work; tracemalloc does not see torch. On a GPU the allocator's peak minus what is allocated before. The side runs twice
and the second run counts: what the first imports and compiles is no part of it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import torch

from benchmarks.scene import Scene, Size
from benchmarks.timing import Work, wait

ROOT = Path(__file__).resolve().parents[1]

# Freed blocks from 1 MiB on go back to the system at once; otherwise one run's garbage hides the next one's needs.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 20)}


def peak_bytes(scene: Scene, side: str) -> int:
    """Peak memory of a side beyond the loaded model.

    Args:
        scene: The model directory and the prompt.
        side: "module.function" in `benchmarks`, a function from a scene to the work.
    """
    command = [sys.executable, "-m", "benchmarks.memory", side, json.dumps(scene.plain_data())]
    environment = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.splitlines()[-1])


def find_side(name: str) -> object:
    """The function behind "module.function"."""
    module, function = name.split(".")
    return getattr(import_module(f"benchmarks.{module}"), function)


def measure(work: Work, device: str) -> int:
    """Peak bytes of the work's second run beyond what was there before."""
    work()
    _settle()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_bytes("VmRSS")
    work()
    return _status_bytes("VmHWM") - before


def _settle() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) * 1024 for text in lines if text.startswith(f"{field}:"))


def main() -> None:
    """The child: prints the bytes."""
    side, described = sys.argv[1:]
    plain = json.loads(described)
    scene = Scene(Path(plain["folder"]), Size(**plain["size"]), plain["device"])
    make = find_side(side)
    assert callable(make)
    print(measure(make(scene), scene.device))


if __name__ == "__main__":
    main()
