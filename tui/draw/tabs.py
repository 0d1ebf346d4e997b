"""A line of tabs: as many as fit around the current one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.strip import Strip

from .cells import Part, clip, line
from .ink import Ink

MIN_CELLS = 14
"""A tab is at least this wide; where that is too wide for all, those far from the current one are left out."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab.

    Attributes:
        name: Short name, safe to show.
        about: What it is about, safe to show.
        busy: Whether something is being computed in it.
    """

    name: str
    about: str
    busy: bool = False


def tab_line(ink: Ink, width: int, tabs: Sequence[Tab], current: int) -> tuple[Strip, list[tuple[int, int, int]]]:
    """Draws tabs.

    Args:
        ink: Colours.
        width: Cells.
        tabs: At least one.
        current: The one that is marked, in brackets and in colour.

    Returns:
        The line, and (first cell, end, tab) of every tab on it.
    """
    count = max(1, min(len(tabs), width // MIN_CELLS))
    first = min(max(0, current - count // 2), len(tabs) - count)
    # Room for what says that there are more.
    before, after = f"‹{first} " if first else "", f" {len(tabs) - first - count}›" if first + count < len(tabs) else ""
    each = max(1, (width - len(before) - len(after)) // count)
    parts: list[Part] = [(before, ink.dim)]
    places = []
    x = len(before)
    for i in range(first, first + count):
        text = clip(_label(i, tabs[i]), max(1, each - 3))
        whole = f"[{text}] " if i == current else f" {text}  "
        parts += [(whole[:-1], ink.mark if i == current else ink.text), (" ", ink.text)]
        places.append((x, x + cell_len(whole), i))
        x += cell_len(whole)
    return line(ink, width, *parts, (after.strip(), ink.dim)), places


def _label(index: int, tab: Tab) -> str:
    busy = "◌ " if tab.busy else ""
    return f"{index + 1} {busy}{tab.name}" + (f": {tab.about}" if tab.about else "")
