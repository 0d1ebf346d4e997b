"""The widget under every panel: draws a frame into strips and repaints only the lines that changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from flowtui.tui.draw.cells import fit

from .facts import Facts
from .frame import Frame
from .placed import Placed
from .screencells import prepare

MAX_KEPT = 24
"""States that a panel keeps as they were drawn."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel as it was drawn.

    Attributes:
        facts: The numbers it was drawn from.
        lines: All of it.
        pictures: The maps in it.
    """

    facts: Facts
    lines: list[Strip]
    pictures: tuple[Placed, ...]


class Panel(Widget):
    """A thin widget over a pure drawing function. Subclasses implement `draw`.

    Attributes:
        pictures: The maps that `draw` has put into the panel; set by it where there are any.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._frame: Frame | None = None
        self._lines: list[Strip] = []
        self.pictures: tuple[Placed, ...] = ()
        self._states: OrderedDict[Hashable, Drawn] = OrderedDict()

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """The panel's lines, `width` cells each; the number of lines is put right by the caller."""
        raise NotImplementedError

    def show(self, frame: Frame) -> None:
        """Draws a new state. Does nothing while the panel is hidden; it catches up when it is resized."""
        self._frame = frame
        if self.is_on_screen:
            self._redraw()

    def on_resize(self) -> None:
        """Draws again at the new size."""
        self._redraw()

    def on_show(self) -> None:
        """Catches up with what happened while hidden."""
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """One finished line. A blank one has a style too: Textual's filters for NO_COLOR fail on segments without."""
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def prepare(self, frame: Frame) -> bool:
        """Draws a state that may be shown next, and keeps it; False where there was nothing to do."""
        if not self.is_on_screen or self._key(frame) in self._states:
            return False
        pictures = self.pictures
        prepare(self._state_of(frame).lines, self.app.console)
        self.pictures = pictures
        return True

    @property
    def is_on_screen(self) -> bool:
        """Whether it has cells."""
        return self.display and bool(self.size.width and self.size.height)

    def _key(self, frame: Frame) -> Hashable:
        return (frame, self.size, frame.painter.covered)

    def _state_of(self, frame: Frame) -> Drawn:
        """The lines and maps of a state, drawn or as they were drawn before."""
        key = self._key(frame)
        if key not in self._states:
            if self._states and next(iter(self._states.values())).facts is not frame.facts:
                self._states.clear()
            self.pictures = ()
            lines = fit(self.draw(frame, *self.size), frame.ink, *self.size)
            self._states[key] = Drawn(frame.facts, lines, self.pictures)
            if len(self._states) > MAX_KEPT:
                self._states.popitem(last=False)
        self._states.move_to_end(key)
        return self._states[key]

    def _redraw(self) -> None:
        width, height = self.size
        if self._frame is None or not width or not height:
            return
        old, drawn = self._lines, self._state_of(self._frame)
        self._lines, self.pictures = drawn.lines, drawn.pictures
        if len(old) != len(self._lines):
            self.refresh()
            return
        changed = [y for y, (a, b) in enumerate(zip(old, self._lines, strict=True)) if a is not b and a != b]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))
