"""All that the panels need to draw one state of the explorer."""

from __future__ import annotations

from dataclasses import dataclass

from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.tabs import Tab

from .facts import Facts
from .look import Look
from .painter import Painter


@dataclass(frozen=True, slots=True)
class Busy:
    """A computation under way.

    Attributes:
        text: What is being done, for example "cam layer 5/11".
        fraction: Part done in 0..1, or None.
        seconds_left: Or None.
    """

    text: str
    fraction: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Other:
    """Another open run.

    Attributes:
        number: Of its tab, from 1.
        title: Name of its file, safe to show, or "".
        facts: Its numbers.
        painter: Draws its maps.
    """

    number: int
    title: str
    facts: Facts
    painter: Painter


@dataclass(frozen=True, slots=True)
class Frame:
    """One state, ready to be drawn.

    Attributes:
        facts: The run's derived numbers.
        look: What of it is shown.
        ink: Colours.
        painter: Draws maps and keeps what it drew.
        title: Name of the file, safe to show, or "".
        hints: (key, what it does), the most useful first.
        busy: What is being computed, or None.
        tabs: The open runs; empty where there is only this one.
        tab: Which of them this is.
        others: The other open runs.
    """

    facts: Facts
    look: Look
    ink: Ink
    painter: Painter
    title: str
    hints: tuple[tuple[str, str], ...]
    busy: Busy | None = None
    tabs: tuple[Tab, ...] = ()
    tab: int = 0
    others: tuple[Other, ...] = ()
