"""The way from the command line to the explorer. Without typer, which takes as long to load as numpy."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flowtui.errors import UsageError

COMPLETION = "_FLOWTUI_COMPLETE"
"""Set where a shell asks for completions instead."""


def files_alone(argv: Sequence[str]) -> list[Path]:
    """The files of a command line that asks for the explorer and for nothing else; none for any other."""
    named = argv[:1] == ["explore"]
    words = argv[1:] if named else argv
    if not words or any(word.startswith("-") for word in words) or COMPLETION in os.environ:
        return []
    return [Path(word) for word in words] if named or words[0].endswith(".pkl") else []


def explore_files(
    paths: Sequence[Path], graphics: str | None = None, engine: str | None = None, images: Path | None = None
) -> int:
    """Opens the explorer.

    Raises:
        UsageError: There is no terminal.
        FlowtuiError: As `flowtui.tui.explorer.explore`.
    """
    if not on_terminal():
        from flowtui.tui.readfile import read_file

        for path in paths:
            read_file(path)
        raise UsageError(
            "The explorer needs a terminal, for both input and output.", f"Without one, use: flowtui show {paths[0]}"
        )
    from flowtui.tui.explorer import explore

    return explore(*paths, graphics=graphics, engine=engine, images=images)


def on_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to read."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
