"""Where the command line writes: data to stdout, everything meant for a person beside it to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from flowtui.tui.text import visible

if TYPE_CHECKING:
    from typer import Context

EXIT_BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""


def write(text: str) -> None:
    """Writes data to stdout.

    Raises:
        Exit: The reader is gone; there is nobody to tell.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        from typer import Exit

        discard_stdout()
        raise Exit(EXIT_BROKEN_PIPE) from None


def discard_stdout() -> None:
    """Points stdout nowhere, so that the interpreter's last flush does not fail too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def note(text: str) -> None:
    """Tells the user one thing, on one line."""
    print(visible(text), file=sys.stderr)


def error(message: str, hint: str = "") -> None:
    """One line that says what happened, and one that says what to do."""
    note(f"flowtui: {message}")
    if hint:
        note(f"  {hint}")


def help_without_command(context: Context) -> None:
    """Prints what there is, where a command is missing.

    Raises:
        Exit: It was missing.
    """
    from typer import Exit

    if context.invoked_subcommand is None:
        write(context.get_help() + "\n")
        raise Exit
