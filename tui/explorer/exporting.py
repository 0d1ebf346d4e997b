"""Exports from the explorer: where to, and the outcome as one sentence."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path

from textual.notifications import SeverityLevel

from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.made_from import MADE_FROM

log = logging.getLogger(__name__)


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
    try:
        # Drawing charts is heavy to import and only needed now.
        export_run = importlib.import_module("flowtui.tui.export").export_run
        written = export_run(run, what, file_format, folder)
    except FlowtuiError as error:
        return str(error), "error"
    except OSError as error:
        return f"Nothing was written to {folder}: {error.strerror or error}.", "error"
    files = "1 file" if len(written) == 1 else f"{len(written)} files"
    return f"{files} written to {folder}.", "information"
