"""The widget under every panel: draws a frame into strips and repaints only the lines that changed."""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from flowtui.tui.draw.cells import fit

from .frame import Frame


class Panel(Widget):
    """A thin widget over a pure drawing function. Subclasses implement `draw`."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._frame: Frame | None = None
        self._lines: list[Strip] = []

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """The panel's lines, `width` cells each; the number of lines is put right by the caller."""
        raise NotImplementedError

    def show(self, frame: Frame) -> None:
        """Draws a new state. Does nothing while the panel is hidden; it catches up when it is resized."""
        self._frame = frame
        if self.display and self.size.width and self.size.height:
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

    def _redraw(self) -> None:
        width, height = self.size
        if self._frame is None or not width or not height:
            return
        old, frame = self._lines, self._frame
        self._lines = fit(self.draw(frame, width, height), frame.ink, width, height)
        if len(old) != len(self._lines):
            self.refresh()
            return
        changed = [y for y, (a, b) in enumerate(zip(old, self._lines, strict=True)) if a is not b and a != b]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))
