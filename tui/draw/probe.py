"""Which graphics a terminal can draw: what is asked for, then the environment, and only then one bounded question."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

ANSWER_S = 0.5
"""A terminal that has not answered by then has nothing to say."""
QUESTION = b"\x1b_Gi=4211,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
"""Kitty: would this picture of one pixel do? Size of a cell in pixels. Device attributes, which every terminal answers
and which so comes last."""
_KITTY = re.compile(rb"\x1b_Gi=4211;OK")
_CELL = re.compile(rb"\x1b\[6;(\d{1,4});(\d{1,4})t")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to draw, and why.

    Attributes:
        name: One of kitty, sixel, halfblock, ascii.
        why: As the end of a sentence.
        cell_px: (width, height) of a cell in pixels; None where nobody says.
    """

    name: str
    why: str
    cell_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What a terminal says of itself.

    Attributes:
        kitty: It took the picture.
        sixel: Its device attributes name sixel.
        cell_px: (width, height) of a cell in pixels, or None.
        complete: It answered to the end; False where the time was over first.
        asked: There was a terminal to ask.
    """

    kitty: bool = False
    sixel: bool = False
    cell_px: tuple[int, int] | None = None
    complete: bool = False
    asked: bool = False


def from_environment(asked: str, source: str, environ: Mapping[str, str]) -> Choice | None:
    """The choice, where it needs no question to the terminal.

    Args:
        asked: "auto", or what somebody asked for.
        source: Who asked, as the beginning of a sentence.
        environ: Environment.
    """
    if asked != "auto":
        return Choice(asked, f"{source} asks for it")
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if "NO_COLOR" in environ:
        return Choice("ascii", "NO_COLOR asks for no colours")
    if term in ("dumb", "linux"):
        return Choice("ascii", f"TERM={term} has too few colours for half blocks")
    for name, there in (("tmux", environ.get("TMUX") or term.startswith("tmux")),
                        ("GNU screen", environ.get("STY") or term.startswith("screen")),
                        ("Zellij", environ.get("ZELLIJ"))):  # fmt: skip
        if there:
            return Choice("halfblock", f"{name} is in between, and half blocks work through everything")
    for variable, value, name in (
        ("TERM", "xterm-kitty", "kitty"),
        ("TERM", "xterm-ghostty", "kitty"),
        ("TERM", "foot", "sixel"),
        ("TERM", "foot-direct", "sixel"),
        ("TERM", "mlterm", "sixel"),
        ("TERM_PROGRAM", "ghostty", "kitty"),
        ("TERM_PROGRAM", "WezTerm", "sixel"),
        ("TERM_PROGRAM", "Apple_Terminal", "halfblock"),
    ):
        if {"TERM": term, "TERM_PROGRAM": program}[variable] == value:
            draws = "draws nothing better" if name == "halfblock" else "draws it"
            return Choice(name, f"{variable}={value} {draws}")
    return None


def from_answers(answers: Answers) -> Choice:
    """The choice by what the terminal says."""
    if answers.kitty:
        return Choice("kitty", "the terminal says that it draws it", answers.cell_px)
    if answers.sixel:
        return Choice("sixel", "the terminal says that it draws it", answers.cell_px)
    if answers.complete:
        return Choice("halfblock", "the terminal says that it draws neither kitty graphics nor sixel", answers.cell_px)
    if not answers.asked:
        return Choice("halfblock", "there is no terminal here to ask for more", answers.cell_px)
    return Choice("halfblock", f"the terminal did not answer within {ANSWER_S} s", answers.cell_px)


class Question:
    """The question, put on entering; the answer is taken when it is needed, so that other work can be done meanwhile.

    Leaving puts the terminal back as it was. Does nothing where there is no terminal.

    Args:
        put: Whether to put it at all.
        reading, writing: File descriptors of the terminal.
    """

    def __init__(self, *, put: bool = True, reading: int = 0, writing: int = 1) -> None:
        self._put = put
        self._reading, self._writing = reading, writing
        self._before: list[Any] | None = None
        self._end = 0.0

    def __enter__(self) -> Question:
        try:
            if not (self._put and os.isatty(self._reading) and os.isatty(self._writing)):
                return self
            before = termios.tcgetattr(self._reading)
            quiet = [*before[:3], before[3] & ~(termios.ECHO | termios.ICANON), *before[4:]]
            termios.tcsetattr(self._reading, termios.TCSANOW, quiet)
            self._before = before
            os.write(self._writing, QUESTION)
        except (OSError, termios.error):
            self.__exit__(None, None, None)
        self._end = time.monotonic() + ANSWER_S
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        before, self._before = self._before, None
        if before is not None:
            try:
                termios.tcsetattr(self._reading, termios.TCSANOW, before)
            except termios.error:
                return

    def answers(self) -> Answers:
        """What has been answered by now, or within `ANSWER_S` of the question."""
        if self._before is None:
            return Answers()
        heard = b""
        while not _ATTRIBUTES.search(heard):
            left = max(0.0, self._end - time.monotonic())
            if not select.select([self._reading], [], [], left)[0]:
                break
            got = os.read(self._reading, 4096)
            if not got:
                break
            heard += got
        return parse(heard)


def parse(heard: bytes) -> Answers:
    """Answers in what a terminal sent, among whatever was typed."""
    attributes, cell = _ATTRIBUTES.search(heard), _CELL.search(heard)
    size = (int(cell[2]), int(cell[1])) if cell is not None else None
    return Answers(
        kitty=_KITTY.search(heard) is not None,
        sixel=attributes is not None and b"4" in attributes[1].split(b";")[1:],
        cell_px=size if size and min(size) > 0 else None,
        complete=attributes is not None,
        asked=True,
    )


def measure_cell() -> tuple[int, int] | None:
    """(width, height) of a cell in pixels as the terminal's driver knows it; None where it does not."""
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        try:
            packed = fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, b"\0" * 8) if stream is not None else b"\0" * 8
        except (OSError, ValueError):
            continue
        lines, columns, width, height = struct.unpack("HHHH", packed)
        if lines and columns and width >= columns and height >= lines:
            return width // columns, height // lines
    return None
