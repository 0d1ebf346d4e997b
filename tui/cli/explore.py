"""`flowtui explore`, and `flowtui FILE.pkl`: the explorer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .screen import explore_files

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
    return explore_files(paths, graphics, engine, images)
