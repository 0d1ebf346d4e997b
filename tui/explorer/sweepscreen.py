"""The screen of a sweep: its keys, and the search for the cliff behind it."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget

from flowtui.errors import FlowtuiError
from flowtui.tui.text import visible

from .dialogs import ExportScreen, HelpScreen
from .exporting import SWEEP_EXPORTS, export_folder, export_sweep
from .opensweep import CurveFound, OpenSweep
from .sweepcopy import sweep_text
from .sweephelp import sweep_help
from .sweepkeys import SWEEP_BINDINGS, sweep_hints
from .sweeplook import SweepLook
from .sweepview import SweepDrawing, SweepFrame
from .view import next_strongest

if TYPE_CHECKING:
    from .itemasking import ItemAsking

log = logging.getLogger(__name__)


class SweepPanel(Widget):
    """The whole screen; repaints only the lines that changed."""

    def __init__(self) -> None:
        super().__init__(id="sweep")
        self._drawing = SweepDrawing()
        self._lines: list[Strip] = []
        self._frame: SweepFrame | None = None

    def show(self, frame: SweepFrame) -> None:
        """Draws a new state."""
        self._frame = frame
        width, height = self.size
        if not width or not height:
            return
        old, self._lines = self._lines, self._drawing.draw(frame, width, height)
        if len(old) != len(self._lines):
            self.refresh()
            return
        changed = [y for y, (a, b) in enumerate(zip(old, self._lines, strict=True)) if a != b]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def on_resize(self) -> None:
        """Draws again at the new size."""
        if self._frame is not None:
            cast(SweepScreen, self.screen).draw()

    def render_line(self, y: int) -> Strip:
        """One finished line."""
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Goes to the K, or to the item, under the mouse."""
        spot = event.get_content_offset(self)
        if self._frame is not None and spot is not None:
            picked = self._drawing.pick(self._frame, spot.x, spot.y)
            if picked is not None:
                cast(SweepScreen, self.screen).look_at(picked)


class SweepScreen(ModalScreen[None], inherit_bindings=False):
    """Lies over the runs, with keys of its own.

    Args:
        sweep: What it shows; keeps the look.
    """

    BINDINGS: ClassVar[list[BindingType]] = SWEEP_BINDINGS

    def __init__(self, sweep: OpenSweep) -> None:
        super().__init__()
        self.sweep = sweep
        self._panel = SweepPanel()

    def compose(self) -> ComposeResult:
        """The panel alone."""
        yield self._panel

    def on_mount(self) -> None:
        """Draws, and then looks for the cliff: what that needs is imported behind the first screen."""
        self.draw()
        self.call_after_refresh(self._find)

    def on_screen_resume(self) -> None:
        """What happened while a dialog lay over it."""
        self.draw()

    @property
    def _app(self) -> ItemAsking:
        return cast("ItemAsking", self.app)

    def draw(self) -> None:
        """Draws the state as it is now."""
        self._panel.show(self.frame())

    def frame(self) -> SweepFrame:
        """The state as it is now."""
        app, sweep, facts = self._app, self.sweep, self.sweep.facts
        shown = sweep_hints(
            self.keys(),
            width=max(1, app.size.width - 2),
            metrics=len(facts.metrics) > 1,
            curves=len(facts.labels) > 1,
            others=app.can_leave_sweep,
        )
        problem = sweep.problems.get((sweep.look.metric, sweep.look.curve), "")
        return SweepFrame(facts, sweep.look, app.ink, sweep.title, shown, app.doing, problem)

    def keys(self) -> dict[str, list[str]]:
        """The keys in force, as they are shown, by binding id."""
        return self._app.keys_of(self._bindings)

    def look_at(self, look: SweepLook) -> None:
        """Shows another state; a curve that is new gets its cliff."""
        self.sweep.to_cliff = False
        if look != self.sweep.look:
            self.sweep.look = look
            self._app.draw_soon()
            self._find()

    def found(self) -> None:
        """A search is over: goes to the cliff, where that has been waited for."""
        if self.sweep.to_cliff and (self.sweep.look.metric, self.sweep.look.curve) not in self.sweep.finding:
            self.sweep.to_cliff = False
            self.action_cliff()

    def _find(self) -> None:
        sweep, look = self.sweep, self.sweep.look
        key = (look.metric, look.curve)
        if sweep.facts.found(look) is None and key not in sweep.finding | sweep.problems.keys():
            sweep.finding.add(key)
            # In a thread: a bootstrap takes a second or so, and brings a library with it.
            self._app.find_in_thread(lambda: self._search(key, look))

    def _search(self, key: tuple[int, int], look: SweepLook) -> None:
        problem = ""
        try:
            self.sweep.facts.find(look)
        except FlowtuiError as error:
            problem = f"No cliff can be found: {error.message}"
        except Exception as error:  # a defect in the search must not take the screen down
            log.exception("finding a cliff failed")
            problem = f"No cliff can be found: {type(error).__name__}: {error}."
        self.sweep.finding.discard(key)
        self._app.post_message(CurveFound(self.sweep.facts, key, visible(problem)))

    # Keys

    def action_step(self, ks: int) -> None:
        """Some K on or back."""
        self.look_at(self.sweep.look.at(self.sweep.look.k + ks, self.sweep.facts.layers))

    def action_go(self, k: int) -> None:
        """To a K; -1 is the untouched model."""
        self.look_at(self.sweep.look.at(k % (self.sweep.facts.layers + 1), self.sweep.facts.layers))

    def action_cliff(self) -> None:
        """To the cliff."""
        facts, look = self.sweep.facts, self.sweep.look
        found = facts.found(look)
        if found is None:
            problem = self.sweep.problems.get((look.metric, look.curve))
            self.sweep.to_cliff = not problem
            self.app.notify(problem or "The cliff is still being looked for: on to it as soon as it is found.")
        elif found.k is None:
            self.app.notify(found.verdict)
        else:
            self.look_at(look.at(found.k, facts.layers))

    def action_strongest(self) -> None:
        """To the K where the score rises most, or from there to the next."""
        ranked = self.sweep.facts.ranked(self.sweep.look)
        if ranked:
            self.action_go(next_strongest(ranked, self.sweep.look.k))

    def action_metric(self) -> None:
        """The next metric."""
        self.look_at(self.sweep.look.next_metric(len(self.sweep.facts.metrics)))

    def action_curve(self, step: int) -> None:
        """The next way of cutting, or the one before."""
        self.look_at(self.sweep.look.next_curve(step, len(self.sweep.facts.labels)))

    def action_turn(self) -> None:
        """Score or difference."""
        self.look_at(replace(self.sweep.look, difference=not self.sweep.look.difference))

    def action_row(self, items: int) -> None:
        """Some items on or back in the list."""
        self.look_at(self.sweep.facts.moved(self.sweep.look, items))

    def action_which(self, step: int) -> None:
        """The next list of items, or the one before."""
        self.look_at(self.sweep.look.next_which(step))

    def action_open_item(self) -> None:
        """Asks the model the item under the cursor again, as a run."""
        item = self.sweep.facts.current(self.sweep.look)
        if item is None:
            self.app.notify("No item is listed here. v lists others.")
        else:
            self._app.open_item(self.sweep, item)

    def action_leave(self, step: int) -> None:
        """To the next open sweep, or to the runs."""
        self._app.leave_sweep(self.sweep, step)

    def action_close(self) -> None:
        """Closes the sweep; its file stays."""
        self._app.close_sweep(self.sweep)

    def action_cancel(self) -> None:
        """Cancels what is being computed, or goes to the runs."""
        self._app.cancel_or_leave()

    def action_copy(self) -> None:
        """The numbers at this K into the clipboard of the terminal (OSC 52)."""
        self.app.copy_to_clipboard(sweep_text(self.sweep.facts, self.sweep.look))
        self.app.notify(f"K {self.sweep.look.k} copied, if your terminal allows it (OSC 52).")

    def action_export(self) -> None:
        """Asks what to write, and writes it."""
        folder = export_folder(self.sweep.path)
        screen = ExportScreen(str(folder), [choice.title for choice in SWEEP_EXPORTS])
        write = partial(export_sweep, self.sweep.facts.sweep, self.sweep.path)
        self.app.push_screen(screen, partial(self._app.export, SWEEP_EXPORTS, folder, write))

    def action_help(self) -> None:
        """Keys, and how to read the screen."""
        self.app.push_screen(HelpScreen(sweep_help(self.sweep.facts, self.keys())))
