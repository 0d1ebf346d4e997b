"""Runs a command and turns every way it can end into an exit code and at most two lines on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import NoReturn

from flowtui.errors import CancelledError, FlowtuiError

from .output import discard_stdout, error, note
from .screen import explore_files, files_alone

EXIT_CANCELLED = 130
EXIT_UNEXPECTED = 1

log = getLogger("flowtui.tui.cli")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The console script.

    Args:
        argv: Arguments without the program's name; None for the process's own.
    """
    code = run(sys.argv[1:] if argv is None else argv)
    if code == EXIT_CANCELLED:
        # A person waits for the prompt: the system takes everything back far sooner than the interpreter lets go of it.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Runs one command.

    Returns:
        The exit code: 0, that of the error (see `flowtui.errors`), 2 for usage, 130 when the user cancelled.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal that cannot show a character gets its number, never an exception.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = _run(argv)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    return code


def _run(argv: Sequence[str]) -> int:
    try:
        files = files_alone(argv)
        return _explore(files) if files else _command(argv)
    except (KeyboardInterrupt, CancelledError):
        note("Cancelled.")
        return EXIT_CANCELLED
    except FlowtuiError as failure:
        error(failure.message, failure.hint)
        return failure.exit_code
    except OSError as failure:
        if failure.filename is None:
            return _unexpected(failure)
        error(f"{failure.filename}: {failure.strerror}.")
        return EXIT_UNEXPECTED
    except Exception as failure:  # noqa: BLE001  (the last line of defence: no traceback reaches a user)
        return _unexpected(failure)


def _explore(files: Sequence[Path]) -> int:
    from flowtui.tui.logs import start_logging

    start_logging()
    return explore_files(files)


def _command(argv: Sequence[str]) -> int:
    import typer

    from .app import app

    try:
        code = app(args=list(argv), prog_name="flowtui", standalone_mode=False)
    except typer.Abort:
        raise CancelledError("Cancelled.") from None
    except typer.TyperException as failure:
        context = getattr(failure, "ctx", None)
        error(failure.format_message(), f"See: {context.command_path if context else 'flowtui'} --help")
        return failure.exit_code
    if code == EXIT_CANCELLED:
        note("Cancelled.")
    return code if isinstance(code, int) else 0


def _unexpected(failure: Exception) -> int:
    from flowtui.tui.logs import log_path, start_logging

    handler = start_logging()
    log.critical("unexpected", exc_info=failure)
    where = (
        f"The log file could not be written: {handler.broken}." if handler.broken else f"Details are in {log_path()}"
    )
    error(f"Something went wrong that should not have: {type(failure).__name__}.", where)
    return EXIT_UNEXPECTED
