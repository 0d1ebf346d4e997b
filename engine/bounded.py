"""Bounds on what somebody else's chat template may take: it is a program, and programs may loop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, TemplateError

from flowtui.errors import ModelError


@contextmanager
def bounded(what: str, seconds: float, more_bytes: int) -> Iterator[None]:
    """Stops Python code that takes too long or too much memory; only in the main thread.

    Args:
        what: What it is that runs, for the message.
        seconds: Time it may take.
        more_bytes: Memory it may take (Linux).

    Raises:
        ModelError: It took more.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise ModelError(f"{what} took more than {seconds:g} s and was stopped.", "Give the model another template.")

    handler = signal.signal(signal.SIGALRM, stop)
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    # One step of arithmetic may take forever, and no handler runs meanwhile: that ends the engine.
    signal.setitimer(signal.ITIMER_PROF, 2 * seconds)
    try:
        with _limited(more_bytes):
            yield
    except (MemoryError, RecursionError):
        raise ModelError(f"{what} takes too much memory and was stopped.", "Give the model another template.") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def _limited(more_bytes: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = now + more_bytes
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def check_template(template: object) -> None:
    """Refuses powers in a chat template: no prompt needs one, and a single one may take forever.

    Raises:
        ModelError: There is one, or what is no text.
    """
    texts = template.values() if isinstance(template, dict) else [template]
    for text in texts:
        if not isinstance(text, str):
            raise ModelError("The model's chat template is no text.", "Get the files again.")
        try:
            tokens = [token for _, kind, token in Environment(autoescape=True).lex(text) if kind == "operator"]
        except TemplateError as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"The model's chat template is no template: {reason}", "Get the files again.") from error
        if "**" in tokens:
            raise ModelError("The model's chat template computes powers.", "Give the model another template.")
