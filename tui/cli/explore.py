"""`flowtui explore`, and `flowtui FILE.pkl`: the explorer."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flowtui.errors import UsageError

RunFiles = Annotated[
    list[Path],
    typer.Argument(metavar="FILE.pkl...", help="Run files, each in a tab of its own, and sweeps.", show_default=False),
]
Graphics = Annotated[
    str | None,
    typer.Option("--graphics", metavar="auto|kitty|sixel|halfblock|ascii", help="How pictures are drawn."),
]

Images = Annotated[
    Path | None,
    typer.Option("--images", metavar="DIR", help="Folder of a sweep's images, to open its items (demo: none)."),
]
OwnEngine = Annotated[
    str | None,
    typer.Option("--engine", metavar="local|ssh://HOST", help="Where to compute; else what flowtui config says."),
]


def explore(paths: RunFiles, graphics: Graphics = None, engine: OwnEngine = None, images: Images = None) -> int:
    """Explore runs and sweeps on the screen. Loads no model unless you ask it to compute something."""
    if not on_terminal():
        from flowtui.tui.readfile import read_file

        for path in paths:
            read_file(path)
        raise UsageError(
            "The explorer needs a terminal, for both input and output.", f"Without one, use: flowtui show {paths[0]}"
        )
    from flowtui.tui.explorer import explore as open_explorer

    return open_explorer(*paths, graphics=graphics, engine=engine, images=images)


def on_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to read."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
