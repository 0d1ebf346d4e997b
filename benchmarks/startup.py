"""CPU time until a command answers, in milliseconds and as a ratio to starting Python itself.

Target: `flowtui --help` under 150 ms.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from pathlib import Path

REPEATS = 9
COMMAND = str(Path(sys.executable).with_name("flowtui"))
CASES = {
    "python": [sys.executable, "-c", "pass"],
    "import typer": [sys.executable, "-c", "import typer"],
    "flowtui --help": [COMMAND, "--help"],
    "flowtui show --help": [COMMAND, "show", "--help"],
    "import the explorer": [sys.executable, "-c", "import flowtui.tui.explorer.app"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def cpu_ms(command: list[str]) -> float:
    """CPU time of one call, of the process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Prints one line per case."""
    medians: dict[str, float] = {}
    for name, command in CASES.items():
        cpu_ms(command)
        medians[name] = statistics.median(cpu_ms(command) for _ in range(REPEATS))
        print(f"{name:<22} {medians[name]:7.0f} ms   {medians[name] / medians['python']:6.1f} x python", flush=True)


if __name__ == "__main__":
    main()
