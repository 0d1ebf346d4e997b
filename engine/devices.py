"""What an engine's machine has to compute on. Torch-free, and it opens no GPU context."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from dataclasses import dataclass

import psutil

from .host import free_host_bytes

_QUERY = "--query-gpu=index,uuid,name,memory.total,memory.free"
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        name: "cpu", "cuda:0", ...; GPUs are counted as nvidia-smi does, among those that CUDA_VISIBLE_DEVICES leaves.
        model: What the maker calls it, or "".
        total_bytes: Its memory.
        free_bytes: What of it can be had right now.
    """

    name: str
    model: str
    total_bytes: int
    free_bytes: int


def find_devices() -> tuple[Device, ...]:
    """The GPUs, then the CPU."""
    return (*_nvidia_gpus(), Device("cpu", "", int(psutil.virtual_memory().total), free_host_bytes()))


def _nvidia_gpus() -> list[Device]:
    """Asks nvidia-smi: torch would have to be imported first, and would take memory on every GPU it asks."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, _QUERY, "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
        return parse_gpus(done.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except (OSError, subprocess.SubprocessError, ValueError):
        # A driver without a GPU, or one that does not answer: the model loader says what torch sees.
        return []


def parse_gpus(table: str, visible: str | None) -> list[Device]:
    """Reads nvidia-smi's table (index, uuid, name, total MiB, free MiB) as CUDA_VISIBLE_DEVICES lets it be seen.

    Raises:
        ValueError: It is not such a table.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(table.splitlines(), skipinitialspace=True) if row]
    if any(len(row) != 5 for row in rows):
        raise ValueError("nvidia-smi's table has other columns than asked for")
    if visible is not None:
        chosen = []
        for name in (part.strip() for part in visible.split(",")):
            match = [row for row in rows if name and (row[0] == name or row[1].startswith(name))]
            if len(match) != 1:
                break  # CUDA ignores everything from the first entry it does not know
            chosen.append(match[0])
        rows = chosen
    return [Device(f"cuda:{i}", row[2], int(row[3]) << 20, int(row[4]) << 20) for i, row in enumerate(rows)]
