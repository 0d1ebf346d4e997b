"""`flowtui export`: a run's maps and curves as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flowtui.tui.made_from import MADE_FROM

from .options import RunFile
from .output import note, write


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
    """Write a run's maps, shares and curves as pictures or data, or as figures for print."""
    if folder is None:
        folder = path.with_name(f"{path.stem}-export")
        note(f"No folder was given with -o: the files go to {folder}.")
    if figure:
        _figures(path, figure, format, folder)
        return
    from flowtui.tui.export import export_run
    from flowtui.tui.text import visible

    from .files import read_run

    names = [name.strip() for name in what.split(",") if name.strip()]
    for written in export_run(read_run(path), names, format, folder):
        write(visible(str(written)) + "\n")


def _figures(path: Path, figure: str, format: str, folder: Path) -> None:
    from shlex import join

    from flowtui.tui.figures import write_figures
    from flowtui.tui.text import visible

    from .files import read_run

    names = [] if figure == "all" else [name.strip().lower() for name in figure.split(",") if name.strip()]
    command = join(
        ("flowtui", "export", path.name, "--figure", figure, "--format", format, "-o", folder.name or str(folder))
    )
    for written in write_figures(read_run(path), names, format, folder, command):
        write(visible(str(written)) + "\n")
