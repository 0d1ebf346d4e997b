"""A sequence of tokens over lines: each coloured by its group and shaded by a value, images folded into one block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip

from .bars import percent
from .cells import Part, clip, line
from .ink import Ink
from .shades import shaded
from .spark import EIGHTHS_UP, MISSING

GUTTER_CELLS = 8
CURSOR, CURRENT = "▸", "●"
NOW = Style(bold=True, underline=True)


@dataclass(frozen=True, slots=True)
class Chip:
    """One thing in the strip.

    Attributes:
        text: Safe to show, not empty.
        group: Index of its group's colour.
        section: Name of the part of the sequence that it stands in; a new part starts a new line.
        block: Whether it stands for many tokens: drawn in brackets, with its value in numbers and without shade.
    """

    text: str
    group: int
    section: str
    block: bool = False

    @property
    def cells(self) -> int:
        """Cells of the whole: level and text, or brackets, text and value."""
        return cell_len(self.text) + (len(percent(0)) + 3 if self.block else 1)


@dataclass(frozen=True, slots=True)
class Lines:
    """Chips on lines.

    Attributes:
        starts: Index of the first chip of each line.
        count: Chips in all.
        width: Cells of a line, the gutter included.
    """

    starts: tuple[int, ...]
    count: int
    width: int

    def line_of(self, chip: int) -> int:
        """The line with a chip."""
        return max(0, bisect_right(self.starts, chip) - 1)

    def chips(self, row: int) -> range:
        """The chips of a line."""
        end = self.starts[row + 1] if row + 1 < len(self.starts) else self.count
        return range(self.starts[row], end)

    def first(self, chip: int, rows: int) -> int:
        """The first of `rows` lines on screen, so that a chip is near the middle."""
        return max(0, min(self.line_of(chip) - rows // 2, len(self.starts) - rows))


def lay_out(chips: Sequence[Chip], width: int) -> Lines:
    """Breaks a sequence into lines of at most `width` cells."""
    room, used, section = max(1, width - GUTTER_CELLS), 0, ""
    starts: list[int] = []
    for i, chip in enumerate(chips):
        cells = min(chip.cells, room)
        if not starts or chip.section != section or used + cells > room:
            starts.append(i)
            used, section = 0, chip.section
        used += cells
    return Lines(tuple(starts), len(chips), width)


def strip_lines(
    ink: Ink,
    chips: Sequence[Chip],
    lines: Lines,
    shown: range,
    values: NDArray[np.floating],
    top: float,
    cursor: int,
    current: int | None,
) -> list[Strip]:
    """Draws some lines.

    Args:
        ink: Colours.
        chips: All of them.
        lines: Their layout.
        shown: The lines to draw.
        values: One per chip, in 0..1; NaN where nothing is known.
        top: The value of the darkest shade.
        cursor: The chip under the cursor.
        current: The chip of the current answer token, or None.
    """
    made = []
    for row in shown:
        inside = lines.chips(row)
        section = chips[inside.start].section
        new = row == shown.start or chips[inside.start - 1].section != section
        name = clip(section, GUTTER_CELLS - 1) if new else ""
        parts: list[Part] = [(f"{name:<{GUTTER_CELLS}}", ink.groups[chips[inside.start].group])]
        for i in inside:
            parts += _chip(ink, chips[i], lines.width - GUTTER_CELLS, float(values[i]), top, i == cursor, i == current)
        made.append(line(ink, lines.width, *parts))
    return made


def chip_at(chips: Sequence[Chip], lines: Lines, row: int, cell: int) -> int | None:
    """The chip at a cell of a line, or None."""
    if not 0 <= row < len(lines.starts):
        return None
    at = GUTTER_CELLS
    for i in lines.chips(row):
        end = at + min(chips[i].cells, lines.width - GUTTER_CELLS)
        if at <= cell < end:
            return i
        at = end
    return None


def level(value: float, top: float) -> str:
    """A value as one glyph in eighths: a blank below a sixteenth, a dot for what is not known."""
    if not np.isfinite(value):
        return MISSING
    if value <= 0 or top <= 0:
        return " "
    return EIGHTHS_UP[min(8, round(8 * value / top))]


def _chip(ink: Ink, chip: Chip, room: int, value: float, top: float, under: bool, now: bool) -> list[Part]:
    group = ink.groups[chip.group]
    if chip.block:
        text = f"{clip(chip.text, room - len(percent(0)) - 3)}{percent(value)}"
        tone = ink.mark if under else shaded(group, ink.background, 0.2)
        return [(CURSOR if under else " ", ink.accent), (f"[{text}]"[: max(0, room - 1)], tone)]
    glyph = CURSOR if under else CURRENT if now else level(value, top)
    text = clip(chip.text, room - 1)
    if under:
        return [(glyph, ink.accent), (text, ink.mark)]
    part = value / top if top > 0 and np.isfinite(value) else 0
    shade = shaded(group, ink.background, part)
    return [(glyph, ink.accent if now else group), (text, shade + NOW if now else shade)]
