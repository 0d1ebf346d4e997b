"""The open runs, where there is more than one."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.strip import Strip

from flowtui.tui.draw.tabs import tab_line

from .frame import Frame
from .panel import Panel


class TabPicked(Message):
    """A click on a tab.

    Attributes:
        index: Which.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index


class TabBar(Panel):
    """One line."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """The tabs."""
        return [tab_line(frame.ink, width, frame.tabs, frame.tab)[0]] if frame.tabs else []

    def on_click(self, event: events.Click) -> None:
        """Goes to the run under the mouse."""
        frame = self._frame
        place = event.get_content_offset(self)
        if frame is None or not frame.tabs or place is None:
            return
        for start, end, index in tab_line(frame.ink, self.size.width, frame.tabs, frame.tab)[1]:
            if start <= place.x < end:
                self.post_message(TabPicked(index))
