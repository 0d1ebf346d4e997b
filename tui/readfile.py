"""Reads a file that may hold a run or a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.engine.sweeps.kind import is_sweep

if TYPE_CHECKING:
    from flowtui.engine.sweeps.result import Sweep


def read_file(path: Path) -> Run | Sweep:
    """Reads a run file or a sweep.

    Raises:
        RunFileError: It is neither, or it is damaged or hostile.
    """
    plain = read_plain(path)
    if is_sweep(plain):
        from flowtui.engine.sweeps.result import Sweep

        return Sweep.from_plain(plain)
    return Run.from_plain(plain)
