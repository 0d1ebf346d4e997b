"""Text that steers terminals, each with a mark of its own, and what is left of it in what a program wrote.

What a program writes to draw its screen steers the terminal too. The mark tells the two apart: a sequence that
holds it, or a control character beside it, came from the text.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MARK = "qzx"
NUMBER = "7391"
"""The mark where only digits may stand: no program asks for row, colour or mode 7391."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A text.

    Attributes:
        name: What it would do.
        text: The text, its mark on both sides of every character that steers.
    """

    name: str
    text: str


_N, _M = NUMBER, MARK
_FORMS = {
    "OSC 52, the clipboard": f"\x1b]52;c;{_M}\x07",
    "OSC 52, asked": f"\x1b]52;{_M};?\x1b\\",
    "OSC 0, the title": f"\x1b]0;{_M}\x07",
    "OSC 7, the folder": f"\x1b]7;file://{_M}/\x07",
    "OSC 8, a link": f"\x1b]8;;http://{_M}\x1b\\{_M}\x1b]8;;\x1b\\",
    "OSC 9, a message": f"\x1b]9;{_M}\x07",
    "OSC 10, colours": f"\x1b]10;{_M}\x07",
    "OSC 50, the font": f"\x1b]50;{_M}\x07",
    "OSC 777, a message": f"\x1b]777;notify;{_M};x\x07",
    "OSC 1337, a file": f"\x1b]1337;File=name={_M}:AAAA\x07",
    "OSC without end": f"\x1b]{_M}",
    "CSI, colour": f"\x1b[38;5;{_N}m",
    "CSI, cursor": f"\x1b[{_N};{_N}H",
    "CSI, the screen cleared": f"\x1b[{_N}J",
    "CSI, modes": f"\x1b[?{_N}h",
    "CSI, other screen": f"{_M}\x1b[?1049l{_M}",
    "CSI, asked for its place": f"{_M}\x1b[6n{_M}",
    "CSI, asked what it is": f"{_M}\x1b[c{_M}",
    "CSI, the window": f"\x1b[8;{_N};{_N}t",
    "CSI, scrolling": f"\x1b[{_N}S",
    "CSI, repeated": f"{_M}\x1b[{_N}b",
    "CSI, keys": f"\x1b[>{_N}u",
    "CSI without end": f"{_M}\x1b[{_N};",
    "DCS, sixel": f"\x1bPq{_M}\x1b\\",
    "DCS, asked": f"\x1bP$q{_M}\x1b\\",
    "DCS, tmux": f"\x1bPtmux;{_M}\x1b\\",
    "APC, kitty": f"\x1b_G{_M};AAAA\x1b\\",
    "PM": f"\x1b^{_M}\x1b\\",
    "SOS": f"\x1bX{_M}\x1b\\",
    "ESC c, reset": f"{_M}\x1bc{_M}",
    "ESC 7, the cursor kept": f"{_M}\x1b7{_M}",
    "ESC (, other characters": f"{_M}\x1b(0{_M}",
    "ESC alone": f"{_M}\x1b{_M}",
    "C1 CSI": f"\x9b38;5;{_N}m",
    "C1 OSC": f"\x9d52;c;{_M}\x9c",
    "C1 DCS": f"\x90q{_M}\x9c",
    "C1 APC": f"\x9fG{_M}\x9c",
    "C1 PM": f"\x9e{_M}\x9c",
    "C1 index": f"{_M}\x84{_M}\x8d{_M}",
    "bell": f"{_M}\x07{_M}",
    "backspace": f"{_M}\x08\x08\x08{_M}",
    "carriage return": f"{_M}\r{_M}",
    "line feeds": f"{_M}\n\n\n{_M}",
    "CR LF": f"{_M}\r\n{_M}",
    "tab": f"{_M}\t{_M}",
    "vertical tab, form feed": f"{_M}\x0b{_M}\x0c{_M}",
    "shift out": f"{_M}\x0e{_M}\x0f{_M}",
    "XON, XOFF": f"{_M}\x13{_M}\x11{_M}",
    "end of file": f"{_M}\x04{_M}\x1a{_M}",
    "enquiry": f"{_M}\x05{_M}",
    "zero": f"{_M}\x00{_M}",
    "delete": f"{_M}\x7f{_M}",
    "bidi override": f"{_M}\u202e{_M}\u202c{_M}",
    "bidi embedding": f"{_M}\u202a{_M}\u202b{_M}",
    "bidi isolate": f"{_M}\u2066{_M}\u2067{_M}\u2069{_M}",
    "bidi marks": f"{_M}\u200e{_M}\u200f{_M}\u061c{_M}",
    "zero width": f"{_M}\u200b{_M}\u200c{_M}\u200d{_M}\ufeff{_M}",
    "soft hyphen": f"{_M}\u00ad{_M}",
    "line separator": f"{_M}\u2028{_M}\u2029{_M}",
    "next line": f"{_M}\x85{_M}",
    "tags": f"{_M}\U000e0041{_M}\U000e007f{_M}",
    "annotations": f"{_M}\ufff9{_M}\ufffa{_M}\ufffb{_M}",
    "invisible operators": f"{_M}\u2061{_M}\u2062{_M}\u2063{_M}",
    "markup": f"[bold red]{_M}[/] [@click=app.quit]{_M}[/]",
    "markup that does not close": f"[/][/]{_M}[link=x",
    "combining flood": _M + "e" + "\u0301\u0327\u0336" * 40 + _M,
    "wide and combined": f"{_M}👩\u200d👩\u200d👧{_M}",
}
PAYLOADS = tuple(Payload(name, f"{MARK}{text}{MARK}") for name, text in _FORMS.items())

_SEQUENCE = re.compile(
    r"(?:[\x90\x98\x9d-\x9f]|\x1b[PX\]^_])(?P<string>[^\x07\x1b\x9c]*)(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)(?P<numbers>[0-?]*)[ -/]*(?P<last>[@-~]?)|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
_DRAWING = ("m", "H")
"""A colour and a place: a program that draws a text beside another puts them between the two."""
_BESIDE = re.compile(rf"{MARK}[\x00-\x1f\x7f-\x9f]|[\x00-\x1f\x7f-\x9f]{MARK}")


def attacks_in(raw: bytes) -> list[str]:
    """What of the payloads is still at work in what a program wrote to a terminal.

    Args:
        raw: All bytes from the terminal, before anything interpreted them.

    Returns:
        Each sequence that holds a mark, and each control or hidden character that a mark stands beside.
    """
    text = raw.decode("utf-8", "surrogateescape")
    found = []
    for match in _SEQUENCE.finditer(text):
        inside = match["string"] or match["numbers"] or ""
        # An escape alone takes the first letter of the mark behind it.
        alone = text.startswith(MARK, match.start() + 1)
        between = text.startswith(MARK, max(0, match.start() - len(MARK))) and text.startswith(MARK, match.end())
        if MARK in inside or NUMBER in inside or alone or (between and match["last"] not in _DRAWING):
            found.append(f"a sequence {match[0][:60]!a}")
    # With the sequences gone, what is left beside a mark is the text's own; but for the ends of the program's lines.
    rest = _SEQUENCE.sub("", text).replace("\r\n", "")
    found += [f"a control {match[0]!a}" for match in _BESIDE.finditer(rest)]
    found += [f"a hidden character U+{ord(c):04X}" for c in set(rest) if unicodedata.category(c) in ("Cf", "Zl", "Zp")]
    found += [f"a lone byte {ord(c) & 0xFF:#x}" for c in set(rest) if unicodedata.category(c) == "Cs"]
    return found
