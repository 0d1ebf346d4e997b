"""The application: holds the one changing state and hands each new one to the panels as a frame."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Resize
from textual.geometry import Size
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer
from textual.worker import Worker

from flowtui.engine.results import Run
from flowtui.engine.spec import DEMO_MODEL
from flowtui.errors import FlowtuiError
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Graphics, HalfBlock
from flowtui.tui.text import visible

from . import commands, computing
from .bindings import BINDINGS, hints
from .copying import layer_text
from .curveview import CurvePanel
from .dialogs import EXPORTS, ConfirmScreen, ExportScreen, HelpScreen
from .exporting import export_choice, export_folder
from .facts import Facts
from .frame import Busy, Frame
from .groups import GroupsPanel
from .header import HeaderPanel
from .layout import plan
from .look import Look, View
from .mapview import MapPanel
from .memory import recall, remember
from .painter import Painter
from .panel import Panel
from .scrubberview import LayerPicked, ScrubberPanel
from .statusbar import StatusPanel
from .theme import ink_of
from .view import LookPicked, ViewPanel
from .views import VIEW_PANELS

if TYPE_CHECKING:
    from flowtui.engine.workflow import Request

PLAY_S = 0.25
"""Seconds per layer while playing."""

log = logging.getLogger(__name__)


class ExplorerApp(App[None]):
    """Shows one run.

    Args:
        run: The run.
        path: Its file: named in the header, and written when something was computed. None for a run without a file.
        compute: How to compute what is missing; None refuses to.
        graphics: The renderer of maps; half blocks by default.
        state_file: Where the view is remembered; None for nowhere.
        config: The user's settings: theme, colour map and keys are taken from them.
    """

    CSS_PATH = "explorer.tcss"
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS
    ENABLE_COMMAND_PALETTE = True
    ALLOW_SELECT = False
    TITLE = "flowtui"

    def __init__(
        self,
        run: Run,
        *,
        path: Path | None = None,
        compute: computing.Compute | None = None,
        graphics: Graphics | None = None,
        state_file: Path | None = None,
        config: Config | None = None,
    ) -> None:
        super().__init__()
        self.facts = Facts(run)
        self.look = recall(state_file, run, Look(palette=(config or Config()).palette))
        self.busy: Busy | None = None
        self._path = path
        self._compute = compute
        self._painter = Painter(run, graphics or HalfBlock())
        self._state_file = state_file
        self._on_disk = run
        self._trusted = run.spec.model == DEMO_MODEL
        self._ink = ink_of(self)
        self._worker: Worker[None] | None = None
        self._player: Timer | None = None
        self._config = config or Config()
        if self._config.keys:
            self.set_keymap(dict(self._config.keys))

    def compose(self) -> ComposeResult:
        """Header, map, groups, curve (or the grid), scrubber, status."""
        yield HeaderPanel(id="header")
        with Horizontal(id="body"):
            yield MapPanel(id="map")
            with Vertical(id="side"):
                yield GroupsPanel(id="groups")
                yield CurvePanel(id="curve")
        yield from (view() for view in VIEW_PANELS)
        yield ScrubberPanel(id="scrubber")
        yield StatusPanel(id="status")

    def on_mount(self) -> None:
        """First screen."""
        self.theme_changed_signal.subscribe(self, lambda _: self._new_theme())
        if self._config.theme in self.available_themes:
            self.theme = self._config.theme
        else:
            names = ", ".join(sorted(self.available_themes))
            self.notify(f"There is no theme {self._config.theme!r}. There are: {names}.", severity="warning")
        self._player = self.set_interval(PLAY_S, self.play_on, pause=True)
        self._lay_out()
        self._show()

    def on_resize(self, event: Resize) -> None:
        """Shares the cells out anew."""
        # The screen's own size is still the old one here.
        self._lay_out(event.size)

    def on_unmount(self) -> None:
        """Remembers the view."""
        remember(self._state_file, self.facts.run, self.look)

    # What is shown

    def _lay_out(self, size: Size | None = None) -> None:
        size = size or self.size
        cells = plan(size.width, size.height, self._painter.ratio)
        for name, rows in (("header", cells.header), ("scrubber", cells.scrubber), ("groups", cells.groups)):
            self.query_one(f"#{name}").styles.height = rows
        self.query_one("#map").styles.width = cells.map_cells
        self._show()

    def _new_theme(self) -> None:
        self._ink = ink_of(self)
        self._show()

    def _show(self) -> None:
        # The views live on the first screen; a dialog may lie over it.
        base = self.screen_stack[0]
        base.query_one("#body").display = self.look.view == "main"
        for view in base.query(ViewPanel):
            view.display = view.view == self.look.view
        width = max(1, self.size.width - 2)
        own = {} if self._view is None else {"view": self._view.hints}
        shown = hints(self.keys(), width=width, compute=bool(self.facts.missing), **own)
        title = visible(self._path.name) if self._path is not None else ""
        frame = Frame(self.facts, self.look, self._ink, self._painter, title, shown, self.busy)
        for panel in base.query(Panel):
            panel.show(frame)

    @property
    def _view(self) -> ViewPanel | None:
        """The view that fills the body; None for the main one, which is several panels."""
        return next((v for v in self.screen_stack[0].query(ViewPanel) if v.view == self.look.view), None)

    def look_at(self, look: Look) -> None:
        """Shows another state of the view."""
        if look != self.look:
            self.look = look
            self._show()

    def keys(self) -> dict[str, list[str]]:
        """The keys in force, as they are shown, by binding id."""
        bindings = self._bindings.copy()
        bindings.apply_keymap(self._keymap)
        found: dict[str, list[str]] = {}
        for _, binding in bindings:
            if binding.id:
                found.setdefault(binding.id, []).append(self.get_key_display(binding))
        return found

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast; whatever the text holds is shown and not obeyed."""
        super().notify(visible(message), title=visible(title), severity=severity, timeout=timeout, markup=False)

    def action_help_quit(self) -> None:
        """Ctrl-C ends the explorer, as it ends any program in a terminal."""
        self.exit()

    # Layers

    def action_step(self, layers: int) -> None:
        """Some layers on or back, to the end at most."""
        self.look_at(self.look.at_layer(self.look.layer + layers, self.facts.layers))

    def action_go(self, layer: int) -> None:
        """To a layer; -1 is the last."""
        self.look_at(self.look.at_layer(layer % self.facts.layers, self.facts.layers))

    def action_cliff(self) -> None:
        """To the first layer that needs no image."""
        layer = self.facts.cliff_layer
        if layer is not None:
            self.look_at(self.look.at_layer(layer, self.facts.layers))
        elif self.facts.cliff is not None:
            self.notify(f"No cliff in this run. {self.facts.cliff.rule}")
        else:
            self.notify(f"The cliff needs the whole truncation curve. {self.facts.gap('truncation')} Press r.")

    def action_row(self, rows: int) -> None:
        """Down in the view, or up."""
        if self._view is not None:
            self.look_at(self._view.move(self.look, self.facts, rows))

    def on_layer_picked(self, event: LayerPicked) -> None:
        """A click on a layer."""
        self.look_at(self.look.at_layer(event.layer, self.facts.layers))

    def on_look_picked(self, event: LookPicked) -> None:
        """A click on something in a view."""
        self.look_at(event.look)

    def action_play(self) -> None:
        """Starts or stops playing."""
        if self._player is None:
            return
        if self.playing:
            self._player.pause()
        else:
            self._player.resume()
        self.playing = not self.playing

    playing = False
    """Whether the layers are being played."""

    def play_on(self) -> None:
        """One layer on; after the last comes the first."""
        on = self.look.at_layer(self.look.layer + 1, self.facts.layers)
        # Tied to a pinned layer, the last one that can be reached may not be the model's last.
        self.look_at(on if on.layer != self.look.layer else self.look.at_layer(0, self.facts.layers))

    # Map, shares, view

    def action_token(self, step: int) -> None:
        """The next or previous answer token."""
        self.look_at(self.look.at_token(step, self.facts.tokens))

    def action_kind(self) -> None:
        """The other map."""
        self.look_at(self.look.next_kind())

    def action_opacity(self) -> None:
        """The next opacity."""
        self.look_at(self.look.next_opacity())

    def action_norm(self) -> None:
        """The next normalisation."""
        self.look_at(self.look.next_norm())

    def action_palette(self) -> None:
        """The next colour map."""
        self.look_at(self.look.next_palette())

    def action_view(self, step: int) -> None:
        """The next view, or the one before."""
        self.look_at(self.look.next_view(step))

    def action_show(self, view: View) -> None:
        """A view by name."""
        self.look_at(replace(self.look, view=view))

    def action_zoom(self) -> None:
        """Opens what is chosen in the view."""
        if self._view is not None:
            self.look_at(self._view.zoom(self.look, self.facts))

    def action_turn(self) -> None:
        """Turns to the other side of the view."""
        if self._view is not None:
            self.look_at(self._view.turn(self.look, self.facts))

    def action_strongest(self) -> None:
        """To the strongest in the view, or the next after it."""
        if self._view is not None:
            self.look_at(self._view.strongest(self.look, self.facts))

    def action_mean(self) -> None:
        """The attention map is the mean over heads again."""
        self.look_at(replace(self.look, head=None))

    def action_pin(self) -> None:
        """Pins the current layer for the compare view, or lets it go."""
        if self.look.pinned == self.look.layer and self.look.against is None:
            self.look_at(replace(self.look, pinned=None))
            self.notify(f"Layer {self.look.layer} is no longer pinned.")
        else:
            self.look_at(replace(self.look, pinned=self.look.layer, against=None))
            self.notify(f"Layer {self.look.layer} is pinned: the compare view shows it beside the current one.")

    def action_tie(self) -> None:
        """The pinned layer moves along, or stays."""
        self.look_at(replace(self.look, tied=not self.look.tied))
        self.notify("The pinned layer moves along." if self.look.tied else "The pinned layer stays where it is.")

    # The run

    def action_copy(self) -> None:
        """The layer's numbers into the clipboard of the terminal (OSC 52)."""
        self.copy_to_clipboard(layer_text(self.facts, self.look))
        self.notify(f"Layer {self.look.layer} copied, if your terminal allows it (OSC 52).")

    def action_export(self) -> None:
        """Asks what to write, and writes it."""
        folder = export_folder(self._path)
        self.push_screen(ExportScreen(str(folder)), lambda choice: self._export(folder, choice))

    def _export(self, folder: Path, choice: int | None) -> None:
        if choice is not None:
            self._write_export(folder, choice)

    @work(thread=True, group="export")
    def _write_export(self, folder: Path, choice: int) -> None:
        text, severity = export_choice(self.facts.run, EXPORTS[choice], folder)
        self.call_from_thread(self.notify, text, severity=severity)

    def action_compute(self) -> None:
        """Computes whatever is missing."""
        if not self.facts.missing:
            self.notify("Nothing is missing: every analysis has all its layers.")
            return
        self.compute(computing.requests_for(self.facts.run))

    def compute_cam(self, site: str) -> None:
        """CAM at another site; what the file holds already is only shown again."""
        parameters = computing.site_parameters(self.facts.run, site)
        kept = computing.as_on_disk(self._on_disk, "cam", parameters)
        if kept is not None:
            self._replace(self.facts.run.with_analysis(kept))
        else:
            self.compute([computing.request_all("cam", parameters)])

    def compute(self, requests: list[Request]) -> None:
        """Starts a computation, after a yes where it may load a model that only the file names."""
        if self.busy is not None:
            self.notify("A computation is running. Esc cancels it.")
        elif self._compute is None:
            self.notify("This explorer was opened without an engine.", severity="warning")
        elif self._trusted:
            self._start(requests)
        else:
            model = visible(self.facts.run.spec.model)
            question = f"Load the model “{model}”, which this file names, and compute with it?"
            self.push_screen(ConfirmScreen(question), lambda yes: self._confirmed(requests, bool(yes)))

    def _confirmed(self, requests: list[Request], yes: bool) -> None:
        if yes:
            self._trusted = True
            self._start(requests)

    def _start(self, requests: list[Request]) -> None:
        assert self._compute is not None
        self.busy = Busy("starting")
        self._worker = self.run_worker(
            computing.stream(self.post_message, self._compute, self.facts.run, requests), group="compute"
        )
        self._show()

    def action_cancel(self) -> None:
        """Cancels the computation; what has arrived stays."""
        if self._worker is not None and self.busy is not None:
            self.busy = Busy("cancelling")
            self._worker.cancel()
            self._show()

    def on_arrived(self, event: computing.Arrived) -> None:
        """Takes over a new run: the only place where the run changes."""
        update = event.update
        if update.notice:
            self.notify(update.notice)
        if update.progress is not None and self.busy is not None and self.busy.text != "cancelling":
            self.busy = computing.busy_from(update.progress, update.run)
        self._replace(update.run)

    def _replace(self, run: Run) -> None:
        if run is not self.facts.run:
            self.facts = Facts(run, self.facts)
        self._show()

    async def on_ended(self, event: computing.Ended) -> None:
        """Says how it ended, and writes what has arrived."""
        self.busy = None
        self._worker = None
        self._show()
        if event.cancelled:
            self.notify("Cancelled. What had arrived is kept.")
        elif event.error is not None:
            self.notify(str(event.error), title="Computing failed", severity="error", timeout=12)
        await self._save()

    async def _save(self) -> None:
        run = computing.for_file(self.facts.run, self._on_disk)
        if self._path is None or run.analyses == self._on_disk.analyses:
            return
        try:
            await asyncio.to_thread(computing.save, self._path, run)
        except FlowtuiError as error:
            self.notify(str(error), title="Not saved", severity="error", timeout=12)
        else:
            self._on_disk = run

    # Screens

    def action_help(self) -> None:
        """Keys and how to read the panels."""
        self.push_screen(HelpScreen(self.facts.run, self.keys()))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action by name, and every layer."""
        yield from commands.commands(self)
        yield from commands.inherited(super().get_system_commands(screen))
