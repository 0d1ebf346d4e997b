"""Lines of styled text of an exact width in cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .ink import Ink

Part = tuple[str, Style]
"""Text that is safe already, and its style."""


def clip(text: str, width: int) -> str:
    """The text in at most `width` cells; what is cut shows as an ellipsis."""
    if cell_len(text) <= width:
        return text
    return _head(text, width - 1).rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int, rows: int) -> list[str]:
    """The text in at most `rows` lines, broken at spaces where possible; the last one ends in an ellipsis if cut."""
    lines: list[str] = []
    rest = text.strip()
    while rest and len(lines) < rows and width > 0:
        head = _head(rest, width)
        if head == rest or len(lines) == rows - 1 or not head:
            lines.append(clip(rest, width))
            break
        # A whole word that ends exactly at the edge stays on this line.
        cut = len(head) if rest[len(head)] == " " else head.rfind(" ")
        cut = cut if cut > 0 else len(head)
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def wrap_first(texts: Sequence[str], width: int, rows: int) -> list[str]:
    """The first of the texts that fits whole into `rows` lines; of none the last, cut."""
    lines: list[str] = []
    for text in texts:
        lines = wrap(text, width, rows)
        if lines and not lines[-1].endswith("…"):
            break
    return lines


def _head(text: str, width: int) -> str:
    """The longest beginning that takes at most `width` cells."""
    used = 0
    for i, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:i]
    return text


def width_of(parts: Iterable[Part]) -> int:
    """Cells that the parts take."""
    return sum(cell_len(text) for text, _ in parts)


def line(ink: Ink, width: int, *parts: Part, right: Sequence[Part] = (), fill: str = " ") -> Strip:
    """One line of exactly `width` cells.

    Args:
        ink: Colours.
        width: Cells.
        parts: From the left; cut with an ellipsis where they do not fit.
        right: At the right edge; left out as a whole where the left leaves no room.
        fill: Drawn dim between the two.
    """
    width = max(0, width)
    left_cells, right_cells = width_of(parts), width_of(right)
    if right and left_cells + right_cells + 1 > width:
        right, right_cells = (), 0
    segments: list[Segment] = []
    room = width
    for whole, part_style in parts:
        if not whole:
            continue
        text = clip(whole, room)
        segments.append(Segment(text, part_style))
        room -= cell_len(text)
        if room <= 0 or text != whole:
            break
    gap = room - right_cells
    if gap > 0:
        # One blank at each end keeps a rule from touching the words.
        pad = f" {fill * (gap - 2)} " if fill != " " and right and gap > 2 else f" {fill * (gap - 1)}"
        segments.append(Segment(pad if fill != " " else " " * gap, ink.dim))
    segments.extend(Segment(text, part_style) for text, part_style in right)
    return Strip(segments).adjust_cell_length(width, ink.text)


def heading(ink: Ink, width: int, title: str, detail: str = "", right: Sequence[str] = ()) -> Strip:
    """A panel's first line: title, detail, a rule, and a note at the right edge.

    Args:
        ink: Colours.
        width: Cells.
        title: Always there.
        detail: Gives way to the note where there is no room for both.
        right: Ways to say the note, the longest first; the first that fits is taken.
    """
    middle: list[list[Part]] = [[(f"  {detail}", ink.strong)], []] if detail else [[]]
    first: Part = (title, ink.accent)
    for between in middle:
        for note in right:
            if width_of([first, *between]) + cell_len(note) + 1 <= width:
                return line(ink, width, first, *between, right=[(note, ink.dim)], fill="─")
    return line(ink, width, first, *middle[0], fill="─")


def fit(strips: Sequence[Strip], ink: Ink, width: int, height: int) -> list[Strip]:
    """Exactly `height` lines: more are dropped, missing ones are blank."""
    blank = Strip([Segment(" " * max(0, width), ink.text)], max(0, width))
    return [*strips[:height], *[blank] * (height - len(strips))]


def beside(ink: Ink, width: int, strip: Strip, left: int) -> Strip:
    """The strip with `left` blank cells before it, filled up to `width`."""
    segments = [Segment(" " * left, ink.text), *strip]
    return Strip(segments, left + strip.cell_length).adjust_cell_length(width, ink.text)
