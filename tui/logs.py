"""The log file: what a person need not see on screen, and where the tracebacks go."""

from __future__ import annotations

import logging
from pathlib import Path

from flowtui.safelog import SafeFormatter

LIMIT_BYTES = 2 << 20
FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def log_path() -> Path:
    """The command line's and the explorer's log file."""
    from platformdirs import user_log_path

    return user_log_path("flowtui", appauthor=False) / "flowtui.log"


class LogFile(logging.Handler):
    """Writes to the log file, which is there only once there was something to write: most commands never do.

    Attributes:
        broken: Why nothing can be written, or "".
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.broken = ""
        self.setFormatter(SafeFormatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Appends one record; a file that has grown too large is set aside first."""
        try:
            path = log_path()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size > LIMIT_BYTES:
                path.replace(path.with_suffix(".log.1"))
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(self.format(record) + "\n")
        except OSError as error:
            # A full disk or a folder that is not ours must not take a command down.
            self.broken = error.strerror or str(error)


def start_logging() -> LogFile:
    """Sends flowtui's warnings, and worse, to the log file. May be called again.

    Without a handler of our own, logging's last resort would print on the screen that the explorer draws on.
    """
    root = logging.getLogger("flowtui")
    for handler in root.handlers:
        if isinstance(handler, LogFile):
            return handler
    handler = LogFile()
    root.addHandler(handler)
    return handler
