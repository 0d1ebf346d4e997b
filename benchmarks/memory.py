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
from collections.abc import Callable
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


def find_side(name: str) -> Callable[[Scene], Work]:
    """The function behind "module.function"."""
    module, function = name.split(".")
    found: Callable[[Scene], Work] = getattr(import_module(f"benchmarks.{module}"), function)
    return found


def measure(work: Work, device: str) -> int:
    """Peak bytes of the work's second run beyond what was there before."""
    work()
    with Peak(device) as peak:
        work()
    return peak.size


class Peak:
    """Peak memory inside the block beyond what was there before.

    Attributes:
        size: Bytes, known after the block.
    """

    def __init__(self, device: str) -> None:
        self.device, self.size = device, 0

    def __enter__(self) -> Peak:
        _settle()
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        else:
            Path("/proc/self/clear_refs").write_text("5")
            self.before = status_bytes("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.startswith("cuda"):
            wait(self.device)
            self.size = torch.cuda.max_memory_allocated(self.device) - self.before
        else:
            self.size = status_bytes("VmHWM") - self.before


def _settle() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)


def status_bytes(field: str) -> int:
    """A size of this process as Linux tells it: "VmRSS", "VmHWM", "VmSize"."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) * 1024 for text in lines if text.startswith(f"{field}:"))


def main() -> None:
    """The child: prints the bytes."""
    side, described = sys.argv[1:]
    plain = json.loads(described)
    scene = Scene(Path(plain["folder"]), Size(**plain["size"]), plain["device"])
    print(measure(find_side(side)(scene), scene.device))


if __name__ == "__main__":
    main()
