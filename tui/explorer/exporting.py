"""Exports from the explorer: what there is to write, where to, and the outcome as one sentence."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textual.notifications import SeverityLevel

from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.made_from import MADE_FROM

if TYPE_CHECKING:
    from flowtui.engine.sweeps.result import Sweep

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Export:
    """One choice.

    Attributes:
        title: What is written.
        format: Of the files.
        what: Of a run: which results.
        kind: Results, figures for print, or the screen as it is.
    """

    title: str
    format: str
    what: tuple[str, ...] = ()
    kind: Literal["data", "figures", "screen"] = "data"


SCREEN = (
    Export("This screen, PNG", "png", kind="screen"),
    Export("This screen, SVG", "svg", kind="screen"),
)
EXPORTS: tuple[Export, ...] = (
    Export("Heat maps of all layers, PNG", "png", ("cam", "attention", "saliency")),
    Export("Charts over layers, SVG", "svg", ("flow", "truncation", "knockout", "faithfulness")),
    Export("Everything, CSV", "csv", tuple(MADE_FROM)),
    Export("Everything, JSON", "json", tuple(MADE_FROM)),
    Export("The paper's figures for print, PDF", "pdf", kind="figures"),
    *SCREEN,
)
"""Of a run."""
SWEEP_EXPORTS: tuple[Export, ...] = (
    Export("Figure 5 for print, PDF", "pdf"),
    Export("Figure 5, PNG", "png"),
    Export("Figure 5, SVG", "svg"),
    Export("Curves and items, CSV", "csv"),
    Export("Curves and items, JSON", "json"),
    *SCREEN,
)
"""Of a sweep."""


def export_folder(path: Path | None) -> Path:
    """A folder beside the file, named after it."""
    return Path("flowtui-export") if path is None else path.with_name(f"{path.stem}-export")


def export_choice(run: Run, path: Path | None, choice: Export, folder: Path) -> tuple[str, SeverityLevel]:
    """Writes what was chosen of a run.

    Args:
        run: The run.
        path: Its file.
        choice: One of `EXPORTS`.
        folder: Where to.

    Returns:
        What to tell the user, and how loudly.
    """
    what = [name for name in choice.what if MADE_FROM[name] in run.analyses]
    if not what and (choice.kind == "data" or not run.analyses):
        return "There is nothing of that yet. Press r to compute it.", "warning"

    def write() -> list[Path]:
        # Drawing is heavy to import and only needed now.
        written: list[Path]
        if choice.kind == "data":
            written = importlib.import_module("flowtui.tui.export").export_run(run, what, choice.format, folder)
        else:
            figures = importlib.import_module("flowtui.tui.figures")
            command = figures.command_for("RUN.pkl" if path is None else path.name, "all", choice.format, folder)
            written = figures.write_figures(run, [], choice.format, folder, command)
        return written

    return outcome(write, folder)


def export_sweep(sweep: Sweep, path: Path | None, choice: Export, folder: Path) -> tuple[str, SeverityLevel]:
    """Writes what was chosen of a sweep.

    Args:
        sweep: The sweep.
        path: Its file.
        choice: One of `SWEEP_EXPORTS`.
        folder: Where to.

    Returns:
        What to tell the user, and how loudly.
    """

    def write() -> list[Path]:
        export = importlib.import_module("flowtui.tui.sweepexport")
        command = export.command_for(path, choice.format, folder)
        written: list[Path] = export.export_sweep(sweep, choice.format, folder, command)
        return written

    return outcome(write, folder)


def export_screen(svg: str, name: str, choice: Export, folder: Path) -> tuple[str, SeverityLevel]:
    """Writes a picture of the screen, under a name that nothing has yet.

    Args:
        svg: The picture.
        name: What the file's name begins with.
        choice: One of `SCREEN`.
        folder: Where to.

    Returns:
        What to tell the user, and how loudly.
    """

    def write() -> list[Path]:
        screenshot = importlib.import_module("flowtui.tui.screenshot")
        data: bytes = screenshot.to_png(svg) if choice.format == "png" else svg.encode()
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(1, 10_000):
            path = folder / f"{name}-{number}.{choice.format}"
            try:
                with path.open("xb") as file:
                    file.write(data)
            except FileExistsError:
                continue
            return [path]
        return []

    return outcome(write, folder)


def outcome(write: Callable[[], list[Path]], folder: Path) -> tuple[str, SeverityLevel]:
    """What came of writing, in words."""
    try:
        written = write()
    except FlowtuiError as error:
        return str(error), "error"
    except OSError as error:
        return f"Nothing was written to {folder}: {error.strerror or error}.", "error"
    except Exception as error:  # a picture that cannot be drawn must not take the screen down
        log.exception("export failed")
        return f"Nothing was written to {folder}: {type(error).__name__}: {error}.", "error"
    if len(written) == 1:
        return f"{written[0].name} written to {folder}.", "information"
    return f"{len(written)} files written to {folder}.", "information"
