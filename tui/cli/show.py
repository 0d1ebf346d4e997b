"""`flowtui show`: a run's content without a screen."""

from __future__ import annotations

from typing import Annotated

import typer

from flowtui.errors import UsageError

from .options import Json, RunFile
from .output import write


def show(
    path: RunFile,
    layer: Annotated[
        int | None, typer.Option("--layer", metavar="N", min=0, help="Only this layer, with its heads and heat map.")
    ] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the per-layer table as CSV.")] = False,
) -> None:
    """Print a run: answer, cliff and a table over layers."""
    from flowtui.tui.summary import summarise
    from flowtui.tui.table import to_csv, to_json, to_text

    from .files import read_run

    if json and csv:
        raise UsageError("--json and --csv exclude each other.")
    content = summarise(read_run(path), layer)
    write(to_json(content) if json else to_csv(content) if csv else to_text(content))
