"""A line to type in that shows characters a terminal would obey, and does not let them through."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len
from rich.text import Text
from textual.widgets import Input


def stand_in(text: str) -> str:
    """The text with every unsafe character replaced by exactly one that is one cell wide."""
    return text if text.isprintable() else "".join(map(_one, text))


def _one(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return "�" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character


class SafeInput(Input):
    """Keeps the text as it is and draws a stand-in of the same length, so that the cursor stays where it belongs."""

    @property
    def _value(self) -> Text:
        return Text(stand_in(self.value), no_wrap=True, overflow="ignore", end="")

    def _position_to_cell(self, position: int) -> int:
        return cell_len(stand_in(self.value[:position]))
