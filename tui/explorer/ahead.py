"""Draws what is likely to be shown next while nothing else is to be done."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from .frame import Frame
from .panel import Panel

PAUSE_S = 0.02
"""Between two portions of work."""
PORTION_S = 0.004
"""A portion ends with the panel after which so much time has passed; a key never waits for longer than one panel."""


class Ahead:
    """Panels to draw ahead, portion by portion.

    The work is done on the event loop and not in a thread: a thread would take turns with a key that comes in between
    for as long as it takes, and panels and their caches belong to the loop.
    """

    def __init__(self) -> None:
        self._work: Iterator[tuple[Panel, Frame]] = iter(())

    def plan(self, panels: Iterable[Panel], frames: Iterable[Frame]) -> None:
        """Takes up new work, the most likely frame first; what was left of the old is dropped."""
        shown = [panel for panel in panels if panel.is_on_screen]
        self._work = ((panel, frame) for frame in frames for panel in shown)

    def drop(self) -> None:
        """Forgets the work."""
        self._work = iter(())

    def go_on(self) -> bool:
        """Does a portion; False when nothing is left."""
        end = time.monotonic() + PORTION_S
        for panel, frame in self._work:
            panel.prepare(frame)
            if time.monotonic() > end:
                return True
        return False
