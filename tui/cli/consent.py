"""A yes before a model is loaded that only a run file names: whoever wrote the file chose it, not the user."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flowtui.engine.spec import DEMO_MODEL
from flowtui.errors import CancelledError, UsageError
from flowtui.tui.text import visible

from .output import note

if TYPE_CHECKING:
    from flowtui.engine.results import Run


def allow_models(runs: Iterable[tuple[Path, Run]], *, yes: bool) -> None:
    """Shows each model and revision that would be loaded, and asks; the shipped model needs no yes.

    Args:
        runs: Run files that something is computed for.
        yes: The user has said yes on the command line.

    Raises:
        UsageError: There is nobody to ask.
        CancelledError: The answer is no.
    """
    seen = {DEMO_MODEL}
    for path, run in runs:
        model, revision = run.spec.model, run.model.revision or run.spec.revision
        exactly = f"“{model}”" + (f" in revision “{revision}”" if revision else "")
        if model in seen or exactly in seen:
            continue
        seen.add(exactly)
        if yes:
            note(f"{path} names the model {exactly}.")
        elif not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                f"{path} names the model {exactly}, which would be loaded.", "If that is as it should be, add --yes."
            )
        elif not _agreed(f"{path} names the model {exactly}. Load it and compute with it?"):
            raise CancelledError("Cancelled.")


def _agreed(question: str) -> bool:
    print(f"{visible(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
