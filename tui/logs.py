"""The log file: what a person need not see on screen, and where the tracebacks go."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

LIMIT_BYTES = 2 << 20
FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def log_path() -> Path:
    """The command line's and the explorer's log file."""
    from platformdirs import user_log_path

    return user_log_path("flowtui", appauthor=False) / "flowtui.log"


def start_logging() -> Path | None:
    """Sends warnings and worse to the log file, which is made when the first one comes.

    Returns:
        The file, or None where its folder cannot be made.
    """
    root = logging.getLogger("flowtui")
    for handler in root.handlers:
        if isinstance(handler, logging.handlers.RotatingFileHandler):
            return Path(handler.baseFilename)
    # Without a handler of our own, logging's last resort would print on the screen that the explorer draws on.
    root.addHandler(logging.NullHandler())
    path = log_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    handler = logging.handlers.RotatingFileHandler(
        path, maxBytes=LIMIT_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )
    handler.setFormatter(logging.Formatter(FORMAT))
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    return path
