"""The last line: progress while something is computed, else the most useful keys."""

from __future__ import annotations

from collections.abc import Sequence

from textual.strip import Strip

from flowtui.tui.draw.cells import Part, line, width_of
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.spark import bar
from flowtui.tui.text import visible

from .frame import Busy, Frame
from .panel import Panel
from .spot import spot_line, spot_of


class StatusPanel(Panel):
    """One line."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Progress, the cell under the cursor, or keys."""
        ink = frame.ink
        if frame.busy is not None:
            parts = busy_parts(frame.busy, width)
            return [line(ink, width, (parts[0], ink.strong), (parts[1], ink.accent), (parts[2], ink.text),
                         right=[("Esc cancels", ink.dim)])]  # fmt: skip
        if (spot := spot_of(frame)) is not None:
            return [spot_line(ink, width, spot, "Esc leaves")]
        return [line(ink, width, *hint_parts(ink, width, frame.hints))]


def hint_parts(ink: Ink, width: int, hints: Sequence[tuple[str, str]]) -> list[Part]:
    """As many (key, what it does) as fit."""
    made: list[Part] = []
    for key, what in hints:
        more: list[Part] = [(key, ink.accent), (f" {what}  ", ink.dim)]
        if width_of([*made, *more]) <= width + 2:
            made += more
    if made:
        # The blanks after the last one may not fit, and would be cut with an ellipsis.
        made[-1] = (made[-1][0].rstrip(), made[-1][1])
    return made


def busy_parts(busy: Busy, width: int) -> tuple[str, str, str]:
    """What is done, a bar, and how far it is: three texts."""
    fraction, left = busy.fraction, busy.seconds_left
    percent = "" if fraction is None else f" {100 * min(max(fraction, 0.0), 1.0):3.0f} %"
    time = "" if left is None else f" · {duration(left)} left"
    what = visible(busy.text)
    room = width - len(what) - len(percent) - len(time) - 14
    meter = bar(fraction, min(20, room)) if fraction is not None and room >= 5 else ""
    return f"{what} ", f"▕{meter}▏" if meter else "", f"{percent}{time}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
