"""`flowtui explore`, and `flowtui RUN.pkl`: the explorer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flowtui.errors import UsageError

RunFiles = Annotated[
    list[Path], typer.Argument(metavar="RUN.pkl...", help="Run files, each in a tab of its own.", show_default=False)
]
Graphics = Annotated[
    str | None,
    typer.Option("--graphics", metavar="auto|kitty|sixel|halfblock|ascii", help="How pictures are drawn."),
]

OwnEngine = Annotated[
    str | None,
    typer.Option("--engine", metavar="local|ssh://HOST", help="Where to compute; else what flowtui config says."),
]


def explore(paths: RunFiles, graphics: Graphics = None, engine: OwnEngine = None) -> int:
    """Explore runs on the screen. Loads no model unless you ask it to compute something."""
    if not on_terminal():
        from .files import read_run

        for path in paths:
            read_run(path)
        raise UsageError(
            "The explorer needs a terminal, for both input and output.", f"Without one, use: flowtui show {paths[0]}"
        )
    from flowtui.tui.explorer import explore as open_explorer

    return open_explorer(*paths, graphics=graphics, engine=engine)


def on_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to read."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
