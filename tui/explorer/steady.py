"""An application that draws no more than its line can carry, and that ends tidily whatever happens."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.driver import Driver
from textual.drivers.headless_driver import HeadlessDriver
from textual.filter import ANSIToTruecolor, LineFilter
from textual.screen import Screen

from flowtui.tui.logs import log_path

from .line import LineDriver
from .screencells import ScreenCells

log = logging.getLogger(__name__)


FRAME_OBJECTS = 50_000
"""The collector looks after so many new objects: some ten frames. By default it would several times in each."""


class SteadyApp(App[None]):
    """Sends differences between frames, and the newest state only once the line has room for it.

    Attributes:
        failure: What ended the application, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._cells = ScreenCells()
        self._stale = False

    def get_driver_class(self) -> type[Driver]:
        """The driver with a line that has a known load; Textual's own where it asks for another."""
        wanted = super().get_driver_class()
        return LineDriver if issubclass(LineDriver, wanted) else wanted

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without the one for ANSI colours: there are none here, and it looks at every cell of every frame."""
        return [one for one in super().get_line_filters() if not isinstance(one, ANSIToTruecolor)]

    def on_ready(self) -> None:
        """The first screen is there. What was made until now stays, so the collector need never look at it again."""
        if not self._tested:
            gc.freeze()
            gc.set_threshold(FRAME_OBJECTS)
            gc.enable()

    def draw(self) -> None:
        """Draws the state as it is now."""
        raise NotImplementedError

    def prepare(self, enough: Callable[[], bool]) -> None:
        """Works out what `draw` will need, until it is enough."""

    def draw_soon(self) -> None:
        """Draws when nothing else is to be done and the line has room: many changes in between become one frame."""
        self._stale = True
        self.check_idle()

    def on_idle(self) -> None:
        """Draws what has changed, or works it out while the line has no room for it."""
        if self._stale and not self._line_has_room:
            self.prepare(lambda: self._line_has_room)
        if self._stale and self._line_has_room:
            self._stale = False
            self.draw()

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """The screen as SVG, with whatever was still to be drawn."""
        if self._stale:
            self._stale = False
            self.draw()
        return super().export_screenshot(title=title, simplify=simplify)

    def on_line_room(self) -> None:
        """The line can take a frame again."""
        self.check_idle()

    def leave_screen(self) -> None:
        """Takes away what leaving the alternate screen would not, while the terminal can still be written to."""

    def redraw(self) -> None:
        """Draws the whole screen again."""
        self.screen_changed()
        self.refresh(layout=True)

    def screen_changed(self) -> None:
        """What the terminal shows is no longer what was drawn."""
        self._cells.forget()

    @property
    def _line_has_room(self) -> bool:
        return not isinstance(self._driver, LineDriver) or self._driver.has_room

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate):
            renderable = self._cells.difference(renderable)
        # One write for a frame: the first of several would wake the writer, which then competes for the processor.
        with self._driver.together() if isinstance(self._driver, LineDriver) else nullcontext():
            super()._display(screen, renderable)

    async def run_action(self, *arguments: Any, **named: Any) -> bool:
        """Runs what a key stands for; if that fails, it is said in a toast, and the rest goes on."""
        try:
            return await super().run_action(*arguments, **named)
        except Exception as error:
            if self._tested:
                raise
            log.exception("an action failed")
            self.notify(f"That did not work: {type(error).__name__}. Details are in {log_path()}", severity="error")
            return True

    @property
    def _tested(self) -> bool:
        return isinstance(self._driver, HeadlessDriver)

    def _handle_exception(self, error: Exception) -> None:
        """Ends the application. The terminal gets one line about it from the command, and the log file the rest."""
        if self._tested:
            super()._handle_exception(error)
            return
        self._return_code = 1
        if self.failure is None:
            self.failure = self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()
