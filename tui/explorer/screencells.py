"""What the terminal shows, cell by cell: a frame is sent as what differs from the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.color_triplet import ColorTriplet
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

if TYPE_CHECKING:
    from rich.console import Console

Cell = tuple[str, str]
"""A character and the parameters of its SGR sequence."""

UNKNOWN: Cell = ("", "?")
"""A cell that may show anything: equal to none that is drawn."""
Parts = tuple[str, str, str]
"""Parameters of attributes, foreground and background."""
RESET = "\x1b[0m"
MOVE_CELLS = 6
"""Sending so many cells that are there already costs no more than moving the cursor over them."""


class ScreenCells:
    """The cells as the terminal has them after everything that was written so far."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = []
        self._size = (0, 0)

    def forget(self) -> None:
        """From here on any cell may show anything: each is sent in full when it is next drawn."""
        self._rows = []

    def difference(self, update: CompositorUpdate) -> CompositorUpdate:
        """The update, as what of it differs; other kinds than those of a whole screen as they are."""
        if isinstance(update, LayoutUpdate | ChopsUpdate):
            return _Difference(self, update)
        self.forget()
        return update

    def encode(self, update: LayoutUpdate | ChopsUpdate, colours: ColorSystem) -> str:
        """The bytes that bring the terminal from what it shows to the update."""
        width, height = update_size(update)
        if len(self._rows) != height or self._size != (width, height):
            self._rows = [[UNKNOWN] * width for _ in range(height)]
            self._size = (width, height)
        pen = _Pen()
        for y, x, strip in _pieces(update):
            if y >= height:
                continue
            cells = _cells(strip, colours)
            row = self._rows[y]
            if cells is None:
                # Wide characters, links and control codes: sent as they are, and not relied on.
                pen.raw(y, x, "".join(Strip.render_style(s.style, s.text, colours) if s.style else s.text
                                      for s in strip))  # fmt: skip
                row[x : x + strip.cell_length] = [UNKNOWN] * min(strip.cell_length, width - x)
                continue
            cells = cells[: width - x]
            old = row[x : x + len(cells)]
            if old != cells:
                for start, end in _runs(old, cells):
                    pen.write(y, x + start, cells[start:end])
                row[x : x + len(cells)] = cells
        return pen.text()


class _Difference(CompositorUpdate):
    """An update that is compared when it is sent."""

    def __init__(self, cells: ScreenCells, update: LayoutUpdate | ChopsUpdate) -> None:
        self._cells = cells
        self._update = update

    def render_segments(self, console: Console) -> str:
        """Raw data with escape sequences."""
        return self._cells.encode(self._update, _colours(console))


class _Pen:
    """Writes cells with as few codes as it takes."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._at = (-1, -1)
        self._sgr = ""

    def write(self, y: int, x: int, cells: list[Cell]) -> None:
        """Some cells beside each other."""
        out, sgr = self._out, self._sgr
        if self._at != (y, x):
            out.append(f"\x1b[{y + 1};{x + 1}H")
        # Every cell of a picture comes by here: what it is compared with stays taken apart.
        attributes, front, back = _parts(sgr)
        for character, wanted in cells:
            if wanted != sgr:
                parts = _parts(wanted)
                if character == " " and parts[2] == back and not attributes and not parts[0]:
                    # A blank looks the same: the colour of its text does not count.
                    out.append(" ")
                    continue
                out.append(_change(sgr, (attributes, front, back), wanted, parts))
                sgr = wanted
                attributes, front, back = parts
            out.append(character)
        self._sgr = sgr
        self._at = (y, x + len(cells))

    def raw(self, y: int, x: int, text: str) -> None:
        """Text with codes of its own."""
        self._out.append(f"{RESET}\x1b[{y + 1};{x + 1}H{text}{RESET}")
        self._sgr, self._at = "", (-1, -1)

    def text(self) -> str:
        """All of it; the terminal is left with plain text."""
        return "".join(self._out) + (RESET if self._sgr else "")


def prepare(strips: Iterable[Strip], console: Console) -> None:
    """Works out the styles of what will be sent later."""
    for strip in strips:
        _cells(strip, _colours(console))


def _colours(console: Console) -> ColorSystem:
    return console._color_system or ColorSystem.TRUECOLOR


def update_size(update: LayoutUpdate | ChopsUpdate) -> tuple[int, int]:
    """(width, height) of the whole screen that an update is for."""
    if isinstance(update, LayoutUpdate):
        return update.region.width, update.region.height
    return update.chop_ends[0][-1] if update.chop_ends else 0, len(update.chops)


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Row, column and strip of everything in the update."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in strips:
                yield y, x, strip
                x += strip.cell_length
        return
    for y, first, last in update.spans:
        for end, (x, piece) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if piece is not None and x <= last and end > first:
                yield y, x, piece


def _cells(strip: Strip, colours: ColorSystem) -> list[Cell] | None:
    """A strip's cells; None where a character may take other than one."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control or not _single(text) or (style is not None and style._link):
            return None
        sgr = "" if style is None else style._ansi
        if sgr is None:
            assert style is not None
            sgr = _sgr(style, colours)
        if len(text) == 1:
            cells.append((text, sgr))
        else:
            cells.extend([(character, sgr) for character in text])
    return cells


def _sgr(style: Style, colours: ColorSystem) -> str:
    """A style's parameters. Every new colour of a picture comes by here: two true colours take the short way."""
    front, back = style._color, style._bgcolor
    if (
        colours is not ColorSystem.TRUECOLOR
        or style._set_attributes
        or front is None
        or back is None
        or front.triplet is None
        or back.triplet is None
    ):
        # What Textual remembers it for is an equal style, which need not be this one.
        sgr = style._ansi = Strip.render_ansi(style, colours)
        return sgr
    sgr = style._ansi = f"{_front(front.triplet)};{_back(back.triplet)}"
    return sgr


# Colours come again in other pairs: their text is most of what a new pair costs.


@lru_cache(maxsize=1 << 15)
def _front(colour: ColorTriplet) -> str:
    return f"38;2;{colour[0]};{colour[1]};{colour[2]}"


@lru_cache(maxsize=1 << 15)
def _back(colour: ColorTriplet) -> str:
    return f"48;2;{colour[0]};{colour[1]};{colour[2]}"


@lru_cache(maxsize=4096)
def _single(text: str) -> bool:
    """Whether every character takes one cell."""
    return (text.isascii() and text.isprintable()) or all(get_character_cell_size(c) == 1 for c in text)


def _runs(old: list[Cell], new: list[Cell]) -> Iterable[tuple[int, int]]:
    """Half-open ranges of cells to send."""
    runs: list[tuple[int, int]] = []
    start = end = -1
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        if a is not b and a != b:
            if start >= 0 and i - end > MOVE_CELLS:
                runs.append((start, end))
                start = i
            elif start < 0:
                start = i
            end = i + 1
    runs.append((start, end))
    return runs


def _parts(sgr: str) -> Parts:
    """Parameters of attributes, foreground and background."""
    # Two true colours and no more, as in pictures: too many to remember, and quickly taken apart.
    if sgr.startswith("38;2;") and (cut := sgr.find(";48;2;")) > 0:
        return "", sgr[:cut], sgr[cut + 1 :]
    return _split(sgr)


@lru_cache(maxsize=1 << 12)
def _split(sgr: str) -> Parts:
    attributes, front, back = [], "", ""
    numbers = iter(sgr.split(";") if sgr else ())
    for number in numbers:
        if number in ("38", "48"):
            kind = next(numbers)
            colour = ";".join((number, kind, *(next(numbers) for _ in range(3 if kind == "2" else 1))))
            front, back = (colour, back) if number == "38" else (front, colour)
        elif number[0] in "39" and len(number) == 2:
            front = number
        elif (number[0] == "4" and len(number) == 2) or number[:2] == "10":
            back = number
        else:
            attributes.append(number)
    return ";".join(attributes), front, back


def _change(old: str, before: Parts, new: str, parts: Parts) -> str:
    """The code that turns one style into the other; each comes whole and taken apart."""
    if not new:
        return RESET
    attributes, front, back = parts
    if attributes != before[0] or (before[1] and not front) or (before[2] and not back):
        return f"\x1b[0;{new}m" if old else f"\x1b[{new}m"
    if back == before[2]:
        return f"\x1b[{front}m"
    return f"\x1b[{back}m" if front == before[1] else f"\x1b[{front};{back}m"
