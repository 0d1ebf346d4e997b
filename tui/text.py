"""Text from models, files and questions, made safe to show: nothing in it can steer the terminal."""

from __future__ import annotations

import unicodedata

# Controls, format characters (bidi, zero width, tags), surrogates, line and paragraph separators. Unassigned and
# private-use characters stay: newer emoji and icon fonts live there, and a terminal only draws them.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""Replaces every character that a terminal obeys or hides by one that it shows.

    C0 controls become their control pictures (ESC is ␛, newline ␊, DEL ␡); C1 controls, bidi and zero-width
    characters, lone surrogates and line separators become their number, like ⟨202E⟩.

    Args:
        text: Any text.

    Returns:
        One line of printable text; text that was safe already is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"⟨{code:04X}⟩" if unicodedata.category(character) in _UNSAFE else character
