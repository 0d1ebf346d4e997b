from __future__ import annotations

import sys
import unicodedata

import pytest

from flowtui.tui.text import visible


@pytest.mark.parametrize("text", ["", "a red circle", "Wie groß?", "日本語", "naïve – “quoted”", "🙂", "no\u00a0break"])
def test_printable_text_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a␛[31mb"),
        ("a\nb\tc\r", "a␊b␉c␍"),
        ("\x7f", "␡"),
        ("\x9b31m", "⟨009B⟩31m"),
        ("\u202eevil", "⟨202E⟩evil"),
        ("a\u200bb", "a⟨200B⟩b"),
        ("\ud800", "⟨D800⟩"),
        ("\U000e0041", "⟨E0041⟩"),
    ],
)
def test_what_steers_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_no_character_of_unicode_gets_through() -> None:
    everything = visible("".join(map(chr, range(sys.maxunicode + 1))))
    left = {unicodedata.category(c) for c in everything}
    assert not left & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    everything.encode("utf-8")
