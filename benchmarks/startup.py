"""CPU time until a command answers: importing is most of it, and the explorer must open at once."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.row import Row

REPEATS = 9
COMMAND = str(Path(sys.executable).with_name("flowtui"))
CASES: dict[str, tuple[list[str], str | None]] = {
    "python itself": ([sys.executable, "-c", "pass"], None),
    "flowtui --help": ([COMMAND, "--help"], "<= 150"),
    "flowtui show --help": ([COMMAND, "show", "--help"], None),
    "importing the explorer": ([sys.executable, "-c", "import flowtui.tui.explorer.app"], None),
    "importing torch": ([sys.executable, "-c", "import torch"], None),
}


def rows() -> Iterator[Row]:
    """One row per case: the median after a call that warms up."""
    for name, (command, goal) in CASES.items():
        cpu_ms(command)
        yield Row(f"start: {name}", statistics.median(cpu_ms(command) for _ in range(REPEATS)), "ms CPU", goal)


def cpu_ms(command: list[str]) -> float:
    """CPU time of one call, of the process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
