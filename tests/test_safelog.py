"""A log file can be shown on a terminal, whatever it tells of."""

from __future__ import annotations

import logging

from flowtui.safelog import SafeFormatter, escaped


def test_lines_stay_and_what_steers_is_escaped() -> None:
    assert escaped("né \n ok") == "né \n ok"
    assert escaped("\x1b[2J\r\x9b\u202e\ud800") == r"\x1b[2J\r\x9b\u202e\ud800"


def test_a_traceback_is_escaped_too() -> None:
    try:
        raise ValueError("\x1b]52;c;AA\x07")
    except ValueError as error:
        record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s", ("\x07",), (type(error), error, None))
    text = SafeFormatter().format(record)
    assert r"ValueError: \x1b]52;c;AA\x07" in text
    assert "\x1b" not in text
    assert "\x07" not in text
