"""Maps in pixels over the cells where panels have drawn them, while nothing else lies there."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.geometry import Region
from textual.timer import Timer
from textual.widget import Widget

from flowtui.tui.draw.graphics import Graphics
from flowtui.tui.draw.probe import measure_cell

from .panel import Panel
from .placed import Placed
from .protocols import KittyProtocol, PixelProtocol, SixelProtocol

if TYPE_CHECKING:
    from .painter import Painter
    from .placing import Placing

SETTLE_S = 0.12
"""After the last change: a key that repeats comes sooner."""
CHECK_S = 0.4
"""How often it is looked whether something that lay over a map has gone, or has come."""


def protocol_for(graphics: Graphics) -> PixelProtocol | None:
    """The protocol behind a renderer; None for one that draws cells alone."""
    if graphics.name == "sixel":
        return SixelProtocol()
    # Process ids differ between programs that run at the same time, so the numbers of their pictures do too.
    return KittyProtocol((os.getpid() & 0xFFFF) << 14) if graphics.name == "kitty" else None


class Pixels:
    """The life of the pictures on screen: drawn after the screen has come to rest, gone as soon as anything changes.

    With a protocol that steps, a change of heat alone is drawn at once in place of the old; the text under it is the
    photo alone meanwhile, so that it need not be sent again.

    Args:
        app: Whose panels these are.
        protocol: How to draw.
    """

    def __init__(self, app: Placing, protocol: PixelProtocol) -> None:
        self._app = app
        self._protocol = protocol
        self._shown: list[Placed] = []
        self._painters: set[Painter] = set()
        self._timer: Timer | None = None
        self._generation = 0
        self.stopped = False

    @property
    def shown(self) -> tuple[Placed, ...]:
        """What is on screen in pixels now."""
        return tuple(self._shown)

    def changed(self) -> None:
        """A frame was drawn: keeps what is still right, steps where that is possible, else goes back to cells."""
        wanted = self._wanted()
        if self._shown and not self._blocked(wanted):
            if [m.content for m in wanted] == [m.content for m in self._shown]:
                return
            if self._protocol.steps and [m.place for m in wanted] == [m.place for m in self._shown]:
                self._generation += 1
                self._draw(wanted)
                return
        self.hide()
        self.settle_soon()

    def check(self) -> None:
        """Looks whether what is shown can stay, and what is not shown can come; called now and then."""
        if self._timer is not None or self.stopped:
            return
        wanted = self._wanted()
        if self._shown and self._blocked(wanted):
            self.hide()
        elif [m.content for m in wanted] != [m.content for m in self._shown] and not self._blocked(wanted):
            self.hide()
            self.settle_soon()

    def hide(self) -> None:
        """Takes the pictures off the screen: the cells under them show the maps again."""
        self._generation += 1
        if not self._shown:
            return
        self._shown = []
        self._app.write(self._protocol.clear())
        self._cover(())
        for panel in self._panels():
            panel.refresh()

    def leave(self) -> None:
        """Leaves nothing behind, on screen or in the terminal's memory."""
        self.stopped = True
        self._generation += 1
        self._stop_timer()
        self._app.write(self._protocol.forget())
        if self._shown:
            self._shown = []
            self._cover(())

    def resume(self) -> None:
        """Begins again after `leave`."""
        self._app.draw_panels()
        self.stopped = False
        self.settle_soon()

    def settle_soon(self) -> None:
        """Draws in pixels once nothing has changed for a moment."""
        self._stop_timer()
        if not self.stopped:
            self._timer = self._app.set_timer(SETTLE_S, self._settle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _settle(self) -> None:
        self._timer = None
        wanted = self._wanted()
        if wanted and not self._blocked(wanted):
            self._generation += 1
            # Not the coroutine itself: a worker that is cancelled before it starts would leave it unawaited.
            prepare: Any = partial(self._prepare, wanted, self._generation)
            self._app.run_worker(prepare, group="pixels", exclusive=True)

    async def _prepare(self, wanted: list[Placed], generation: int) -> None:
        # Encoding takes long enough to be felt by somebody who goes on typing.
        await asyncio.to_thread(self._protocol.prepare, wanted, self._cell_px)
        if generation == self._generation:
            self._app.call_after_refresh(self._draw_prepared, wanted, generation)

    def _draw_prepared(self, wanted: list[Placed], generation: int) -> None:
        if generation == self._generation and not self._blocked(wanted):
            self._draw(wanted)

    def _draw(self, wanted: list[Placed]) -> None:
        self._app.write(self._protocol.draw(wanted, self._cell_px))
        first = not self._shown
        self._shown = wanted
        if first and self._protocol.steps:
            self._cover(wanted)

    def _cover(self, maps: tuple[Placed, ...] | list[Placed]) -> None:
        """Tells painters whether pixels lie over what they draw, and draws the panels anew where that changes them."""
        now = {m.painter for m in maps}
        before, self._painters = self._painters, now
        for painter in before | now:
            painter.covered = painter in now
        if before != now and not self.stopped:
            self._app.draw_panels()

    @property
    def _cell_px(self) -> tuple[int, int]:
        return self._app.cell_px

    def _panels(self) -> list[Panel]:
        """The panels on screen that hold maps."""
        base = self._app.screen_stack[0]
        return [p for p in base.query(Panel) if p.pictures and p.size.area and _displayed(p)]

    def _wanted(self) -> list[Placed]:
        """The maps that panels have drawn, where they are on the screen."""
        made = []
        for panel in self._panels():
            at = panel.content_region
            for placed in panel.pictures:
                inside = placed.left + placed.size[0] <= at.width and placed.top + placed.size[1] <= at.height
                if inside and min(placed.size) > 0:
                    made.append(placed.moved(at.x, at.y))
        return made

    def _blocked(self, maps: list[Placed]) -> bool:
        """Whether something lies over the maps, or they change too often for pixels."""
        app = self._app
        if self.stopped or len(app.screen_stack) > 1 or (app.playing and not self._protocol.steps):
            return True
        regions = [Region(m.left, m.top, *m.size) for m in maps]
        toasts = [toast.region for toast in app.screen_stack[0].query("Toast")]
        return any(toast.overlaps(region) for toast in toasts for region in regions)


def _displayed(widget: Widget) -> bool:
    return all(node.display for node in widget.ancestors_with_self if isinstance(node, Widget))


def measured(graphics: Graphics) -> tuple[int, int]:
    """(width, height) of a cell in pixels now: somebody may have zoomed."""
    return measure_cell() or graphics.screen_px
