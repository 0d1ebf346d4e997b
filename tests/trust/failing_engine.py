"""The real engine, whose device fails as often as a file has bytes: one is taken off at each failure.

Run: failing_engine.py memory|cuda FILE engine
"""

import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[2])

import torch  # noqa: E402

from flowtui.engine import attention, process  # noqa: E402

ERRORS = {
    "memory": torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB."
    ),
    "cuda": torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"),
}

kind, left = sys.argv[1], Path(sys.argv[2])
run = attention.run


def failing(*arguments: Any) -> None:
    if bytes_left := left.read_bytes():
        left.write_bytes(bytes_left[1:])
        raise ERRORS[kind]
    run(*arguments)


attention.run = failing
process.serve()
