"""Items of a data set, one a line: what is answered with the image cut, without the cut, and what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.strip import Strip

from .cells import Part, clip, line
from .ink import Ink

MIN_QUESTION_CELLS = 16
"""With less room for it the question is left out."""
MAX_ANSWER_CELLS = 24
GAP = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One item; every text is safe to show.

    Attributes:
        change: -1 where the cut makes its score worse, 1 better, 0 neither; None where there is nothing to cut.
        same: Whether the answer is the untouched model's.
        answer: With the image cut at the current K.
        untouched: The untouched model's answer.
        truth: What is true.
        question: What was asked.
    """

    change: int | None
    same: bool
    answer: str
    untouched: str
    truth: str
    question: str


def item_table(ink: Ink, width: int, rows: Sequence[Row], cut: str, current: int) -> list[Strip]:
    """Draws a header and the rows.

    Args:
        ink: Colours.
        width: Cells.
        rows: The items that are shown.
        cut: What stands above the answers with the image cut.
        current: Index of the row under the cursor.
    """
    room = max(3, width - 3)
    wide = room - 3 * (10 + GAP) >= MIN_QUESTION_CELLS
    longest = max((cell_len(t) for r in rows for t in (r.answer, r.untouched, r.truth)), default=0)
    each = min(MAX_ANSWER_CELLS, max(9, longest)) if wide else room // 3 - GAP
    while wide and room - 3 * (each + GAP) < MIN_QUESTION_CELLS:
        each -= 1
    each = max(1, each)
    header = "".join(f"{clip(name, each):<{each + GAP}}" for name in (cut, "untouched", "truth"))
    made = [line(ink, width, (f"   {header}{'question' if wide else ''}", ink.dim))]
    for i, row in enumerate(rows):
        glyph, tone = _glyph(ink, row)
        text = ink.strong if i == current else ink.text
        parts: list[Part] = [("▸" if i == current else " ", ink.accent), (glyph, tone), (" ", ink.text)]
        for words, style in ((row.answer, ink.dim if row.same else tone), (row.untouched, text), (row.truth, text)):
            shown = clip(words, each)
            parts += [(shown, style), (" " * (each + GAP - cell_len(shown)), ink.text)]
        if wide:
            parts.append((clip(row.question, max(0, room - 3 * (each + GAP))), ink.dim))
        made.append(line(ink, width, *parts))
    return made


def _glyph(ink: Ink, row: Row) -> Part:
    """What the cut does to the item, readable without colour."""
    if row.change is None:
        return "·", ink.dim
    if row.change:
        return ("−", ink.groups[1]) if row.change < 0 else ("+", ink.groups[3])
    return ("=", ink.dim) if row.same else ("≠", ink.text)
