"""`flowtui export`: a run's maps and curves, or a sweep's, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flowtui.tui.made_from import MADE_FROM

from .options import RunFile
from .output import note, write

if TYPE_CHECKING:
    from flowtui.engine.results import Run
    from flowtui.engine.sweeps.result import Sweep


def export(
    path: RunFile,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder for the files; RUN-export beside the run if absent."
        ),
    ] = None,
    what: Annotated[
        str, typer.Option("--what", metavar="a,b", help=f"Some of {', '.join(MADE_FROM)}; all that is there.")
    ] = "",
    format: Annotated[
        Literal["png", "svg", "csv", "json", "pdf"],
        typer.Option("--format", help="Pictures (png: one per layer, svg: one sheet) or data; pdf for figures."),
    ] = "png",
    figure: Annotated[
        str,
        typer.Option(
            "--figure", metavar="2a,3|all", help="Figures of the paper for print (1, 2a, 2b, 3, 5), data beside them."
        ),
    ] = "",
) -> None:
    """Write a run's maps, shares and curves, or a sweep's curves, as pictures or data, or as figures for print."""
    if folder is None:
        folder = path.with_name(f"{path.stem}-export")
        note(f"No folder was given with -o: the files go to {folder}.")
    from flowtui.engine.results import Run
    from flowtui.tui.readfile import read_file
    from flowtui.tui.text import visible

    found = read_file(path)
    if not isinstance(found, Run):
        paths = _of_sweep(found, path, what, figure, format, folder)
    elif figure:
        paths = _figures(found, path, figure, format, folder)
    else:
        from flowtui.tui.export import export_run

        names = [name.strip() for name in what.split(",") if name.strip()]
        paths = export_run(found, names, format, folder)
    for written in paths:
        write(visible(str(written)) + "\n")


def _figures(run: Run, path: Path, figure: str, format: str, folder: Path) -> list[Path]:
    from flowtui.tui.figures import command_for, write_figures

    names = [] if figure == "all" else [name.strip().lower() for name in figure.split(",") if name.strip()]
    return write_figures(run, names, format, folder, command_for(path.name, figure, format, folder))


def _of_sweep(sweep: Sweep, path: Path, what: str, figure: str, format: str, folder: Path) -> list[Path]:
    """A sweep has Figure 5, which is what its pictures are, and its data."""
    from flowtui.errors import UsageError
    from flowtui.tui.sweepexport import command_for, export_sweep

    if what:
        raise UsageError("--what is for runs.", "A sweep has one figure (5) and its data: leave --what out.")
    if figure.strip().lower() not in ("", "5", "all"):
        raise UsageError(f"A sweep has no figure {figure!r}.", "Its figure is 5.")
    return export_sweep(sweep, format, folder, command_for(path, format, folder))
