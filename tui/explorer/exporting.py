"""Exports from the explorer: where to, and the outcome as one sentence."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path

from textual.notifications import SeverityLevel

from flowtui.engine.results import Run
from flowtui.engine.sweeps.result import Sweep
from flowtui.errors import FlowtuiError
from flowtui.tui.made_from import MADE_FROM

log = logging.getLogger(__name__)


EXPORTS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Heat maps of all layers, PNG", ("cam", "attention", "saliency"), "png"),
    ("Charts over layers, SVG", ("flow", "truncation", "knockout", "faithfulness"), "svg"),
    ("Everything, CSV", tuple(MADE_FROM), "csv"),
    ("Everything, JSON", tuple(MADE_FROM), "json"),
)
"""Of a run: title, what, format."""
SWEEP_EXPORTS: tuple[tuple[str, str], ...] = (
    ("Figure 5 for print, PDF", "pdf"),
    ("Figure 5, PNG", "png"),
    ("Figure 5, SVG", "svg"),
    ("Curves and items, CSV", "csv"),
    ("Curves and items, JSON", "json"),
)
"""Of a sweep: title, format."""


def export_folder(path: Path | None) -> Path:
    """A folder beside the run file, named after it."""
    return Path("flowtui-export") if path is None else path.with_name(f"{path.stem}-export")


def export_choice(run: Run, choice: tuple[str, tuple[str, ...], str], folder: Path) -> tuple[str, SeverityLevel]:
    """Writes what was chosen.

    Args:
        run: The run.
        choice: Title, what, format.
        folder: Where to.

    Returns:
        What to tell the user, and how loudly.
    """
    _, wanted, file_format = choice
    what = [name for name in wanted if MADE_FROM[name] in run.analyses]
    if not what:
        return "There is nothing of that yet. Press r to compute it.", "warning"

    def write() -> list[Path]:
        # Drawing charts is heavy to import and only needed now.
        written: list[Path] = importlib.import_module("flowtui.tui.export").export_run(run, what, file_format, folder)
        return written

    return _outcome(write, folder)


def export_sweep(sweep: Sweep, path: Path | None, choice: int, folder: Path) -> tuple[str, SeverityLevel]:
    """Writes what was chosen of a sweep.

    Args:
        sweep: The sweep.
        path: Its file.
        choice: Index in `SWEEP_EXPORTS`.
        folder: Where to.

    Returns:
        What to tell the user, and how loudly.
    """
    file_format = SWEEP_EXPORTS[choice][1]

    def write() -> list[Path]:
        export = importlib.import_module("flowtui.tui.sweepexport")
        command = export.command_for(path, file_format, folder)
        written: list[Path] = export.export_sweep(sweep, file_format, folder, command)
        return written

    return _outcome(write, folder)


def _outcome(write: Callable[[], list[Path]], folder: Path) -> tuple[str, SeverityLevel]:
    try:
        written = write()
    except FlowtuiError as error:
        return str(error), "error"
    except OSError as error:
        return f"Nothing was written to {folder}: {error.strerror or error}.", "error"
    files = "1 file" if len(written) == 1 else f"{len(written)} files"
    return f"{files} written to {folder}.", "information"
