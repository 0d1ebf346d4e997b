"""The application's side of maps in pixels: when they may come, and when they have to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.events import Resize
from textual.notifications import SeverityLevel
from textual.screen import Screen

from .moving import Moving
from .pixels import CHECK_S, Pixels, measured, protocol_for
from .shell import PanelScreen

if TYPE_CHECKING:
    from collections.abc import Callable


class PixelScreen(PanelScreen):
    """Tells when something is laid over the panels, and when it is gone."""

    def __init__(self, covered: Callable[[bool], None]) -> None:
        super().__init__(id="_default")
        self._covered = covered

    def on_screen_suspend(self) -> None:
        """A dialog lies over the panels."""
        self._covered(True)

    def on_screen_resume(self) -> None:
        """It is gone."""
        self._covered(False)


class Placing(Moving):
    """Draws maps in pixels, where the terminal can."""

    _pixels: Pixels | None = None

    def get_default_screen(self) -> Screen[object]:
        """The screen of the panels."""
        return PixelScreen(self._dialog)

    def on_mount(self) -> None:
        """Begins."""
        self.app_resume_signal.subscribe(self, lambda _: self._come_back())
        protocol = protocol_for(self._graphics)
        if protocol is not None:
            self._pixels = Pixels(self, protocol)
            self.set_interval(CHECK_S, self._pixels.check)
            self._pixels.settle_soon()

    def on_resize(self, event: Resize) -> None:
        """Cells may have another size now, and everything is elsewhere."""
        if self._pixels is not None:
            self._pixels.hide()
            self._graphics.screen_px = measured(self._graphics)
            self._pixels.settle_soon()

    def leave_screen(self) -> None:
        """The terminal is somebody else's from here on."""
        if self._pixels is not None and not self._pixels.stopped:
            self._pixels.leave()

    def draw(self) -> None:
        """Hands the state to the panels, and then to what draws pixels over them."""
        super().draw()
        if self._pixels is not None:
            self._pixels.changed()

    def draw_panels(self) -> None:
        """Hands the state to the panels alone."""
        super().draw()

    def action_play(self) -> None:
        """Starts or stops playing; in between there may be time for pixels."""
        super().action_play()
        if self._pixels is not None:
            self._pixels.changed()

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast, which may have to lie over a map."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)
        if self._pixels is not None:
            self.call_after_refresh(self._pixels.check)

    @property
    def cell_px(self) -> tuple[int, int]:
        """(width, height) of a cell in pixels."""
        return self._graphics.screen_px

    def write(self, text: str) -> None:
        """Hands sequences to the terminal, in order with what Textual draws."""
        if text and self._driver is not None:
            self._driver.write(text)

    def _dialog(self, there: bool) -> None:
        if self._pixels is None:
            return
        if there:
            self._pixels.hide()
        else:
            self._pixels.settle_soon()

    def _come_back(self) -> None:
        # Textual leaves the screen empty: nothing has changed since it was drawn.
        self.refresh(layout=True)
        if self._pixels is not None:
            self._pixels.resume()
