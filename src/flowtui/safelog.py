"""Text of others in one-line messages and in log files, which end up in terminals too."""

from __future__ import annotations

import logging


def escaped(text: str) -> str:
    """Escapes, as Python writes it, every character that a terminal would obey or hide; lines stay lines."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class SafeFormatter(logging.Formatter):
    """Formats records so that a log file can be shown as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text, with its traceback."""
        return escaped(super().format(record))
