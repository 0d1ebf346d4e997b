"""The check of what reaches a terminal finds every payload that is let through, and nothing in what is not."""

from __future__ import annotations

import pytest

from flowtui.tui.text import visible
from tests.trust.payloads import PAYLOADS, Payload, attacks_in

HARMLESS = ("markup", "markup that does not close", "combining flood", "CR LF")
"""Without a control character, or with one that also ends the program's own lines."""


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.name)
def test_what_is_let_through_is_found(payload: Payload) -> None:
    raw = payload.text.encode()
    assert bool(attacks_in(b"\x1b[1mbefore\x1b[0m " + raw + b" after\r\n")) == (payload.name not in HARMLESS)
    assert attacks_in(b"\x1b[2;3H\x1b[38;2;1;2;3m" + visible(payload.text).encode() + b"\x1b[0m\r\n") == []


def test_a_screen_of_the_programs_own_is_no_attack() -> None:
    shown = visible(PAYLOADS[0].text).encode()
    drawn = (
        b"\x1b[?1049h\x1b[?25l\x1b[H"
        + shown
        + b"\x1b[0m\x1b[38;2;9;9;9m"
        + shown
        + b"\r\n\x1b[5;1H"
        + shown
        + b"\x1b[?1049l"
    )
    assert attacks_in(drawn) == []


def test_bytes_that_are_no_text_are_found() -> None:
    assert attacks_in(b"qzx\x9b31mqzx")
