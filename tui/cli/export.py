"""`flowtui export`: a run's maps and curves as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from flowtui.tui.made_from import MADE_FROM

from .options import RunFile
from .output import write


def export(
    path: RunFile,
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files; made if missing.")
    ],
    what: Annotated[
        str, typer.Option("--what", metavar="a,b", help=f"Some of {', '.join(MADE_FROM)}; all that is there.")
    ] = "",
    format: Annotated[
        Literal["png", "svg", "csv", "json"],
        typer.Option("--format", help="Pictures (png: one per layer, svg: one sheet) or data."),
    ] = "png",
) -> None:
    """Write a run's maps, shares and curves as pictures or data."""
    from flowtui.tui.export import export_run
    from flowtui.tui.text import visible

    from .files import read_run

    names = [name.strip() for name in what.split(",") if name.strip()]
    for written in export_run(read_run(path), names, format, folder):
        write(visible(str(written)) + "\n")
