"""What every part of the application builds on: the open runs, the panels, and how a state gets on screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from textual.binding import BindingsMap
from textual.events import Resize
from textual.geometry import Size
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer

from flowtui.engine.results import Run
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Graphics
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.tabs import Tab
from flowtui.tui.text import visible

from .ahead import PAUSE_S, Ahead
from .bindings import MAIN_HINTS, hints
from .facts import Facts
from .frame import Busy, Frame, Other
from .layout import plan
from .look import Look
from .memory import recall, remember
from .painter import Painter
from .panel import Panel
from .session import Session
from .steady import SteadyApp
from .theme import ink_of
from .view import ViewPanel
from .views import PANELS, load_views, panel_of

LOAD_S = 0.3
"""After the first screen, what it did not need is imported."""


class PanelScreen(Screen[object], inherit_bindings=False):
    """Without Textual's own keys: nothing here takes the focus, so Tab is free for the open runs."""


class Shell(SteadyApp):
    """Holds the open runs and hands each new state to the panels as a frame.

    Attributes:
        sessions: The open runs; none while there are only sweeps.
        session: The one on screen; not there while there are none.
        busy: What is being computed, or None.
        sweep_is_open: Whether there is a sweep to go to.
    """

    session: Session

    def __init__(
        self, run: Run | None, path: Path | None, graphics: Graphics, state_file: Path | None, config: Config
    ) -> None:
        super().__init__()
        self._graphics = graphics
        self._state_file = state_file
        self._config = config
        self.busy: Busy | None = None
        self.sessions: list[Session] = []
        if run is not None:
            self.session = self.new_session(run, path)
            self.sessions.append(self.session)
        self._ink = ink_of(self)
        self._ahead = Ahead()
        self._idler: Timer | None = None
        self._was_at = 0
        self.sweep_is_open = False
        if config.keys:
            self.set_keymap(dict(config.keys))

    def new_session(self, run: Run, path: Path | None) -> Session:
        """A run that is looked at as it was left the last time. Reads files and decodes images."""
        look = recall(self._state_file, run, Look(palette=self._config.palette))
        return Session(run, path, look, self._graphics)

    @property
    def facts(self) -> Facts:
        """Numbers of the run on screen."""
        return self.session.facts

    @property
    def look(self) -> Look:
        """How the run on screen is looked at."""
        return self.session.look

    @look.setter
    def look(self, look: Look) -> None:
        self.session.look = look

    @property
    def _painter(self) -> Painter:
        return self.session.painter

    @property
    def _path(self) -> Path | None:
        return self.session.path

    def on_mount(self) -> None:
        """First screen."""
        self.theme_changed_signal.subscribe(self, lambda _: self._new_theme())
        if self._config.theme in self.available_themes:
            self.theme = self._config.theme
        else:
            names = ", ".join(sorted(self.available_themes))
            self.notify(f"There is no theme {self._config.theme!r}. There are: {names}.", severity="warning")
        self._lay_out()
        self._idler = self.set_interval(PAUSE_S, self._go_on, pause=True)

    def on_ready(self) -> None:
        """The first screen is there: the views are imported behind it, so that going to one takes no longer."""
        self.set_timer(LOAD_S, lambda: self.run_worker(load_views, thread=True, group="views"))

    def on_resize(self, event: Resize) -> None:
        """Shares the cells out anew."""
        # The screen's own size is still the old one here.
        self._lay_out(event.size)
        # The hints are chosen by the screen's size, once it is the new one.
        self.draw_soon()

    async def on_unmount(self) -> None:
        """Remembers the views, the one on screen as the last."""
        for session in sorted(self.sessions, key=lambda session: session is self.session):
            self.forget(session)

    def forget(self, session: Session) -> None:
        """Remembers how a run was looked at that is being closed."""
        remember(self._state_file, session.facts.run, session.look)

    def _lay_out(self, size: Size | None = None) -> None:
        if not self.sessions:
            return
        size = size or self.size
        base = self.screen_stack[0]
        tabs = len(self.sessions) > 1
        base.query_one("#tabs").display = tabs
        cells = plan(size.width, size.height - tabs, self._painter.ratio)
        for name, rows in (("header", cells.header), ("scrubber", cells.scrubber), ("groups", cells.groups)):
            base.query_one(f"#{name}").styles.height = rows
        base.query_one("#map").styles.width = cells.map_cells
        self.draw()

    def _new_theme(self) -> None:
        self._ink = ink_of(self)
        self._show()

    def _show(self) -> None:
        self.draw_soon()

    def draw(self) -> None:
        """Hands the state to the panels."""
        if not self.sessions:
            return
        # The views live on the first screen; a dialog may lie over it.
        base = self.screen_stack[0]
        base.query_one("#body").display = self.look.view == "main"
        if self.look.view in PANELS and self._view is None:
            base.mount(panel_of(self.look.view)(), before="#scrubber")
        for view in base.query(ViewPanel):
            view.display = view.view == self.look.view
        frame = self._frame_of(self.look)
        panels = list(base.query(Panel))
        for panel in panels:
            panel.show(frame)
        self._draw_ahead(panels, frame)

    def prepare(self, enough: Callable[[], bool]) -> None:
        """Draws the panels of the state on their own, for the moment in which the line can take it."""
        if self.sessions:
            frame = self._frame_of(self.look)
            for panel in self.screen_stack[0].query(Panel):
                if enough():
                    return
                panel.prepare(frame)

    def _frame_of(self, look: Look) -> Frame:
        width = max(1, self.size.width - 2)
        view = self._view
        shown = hints(
            self.keys(),
            width=width,
            compute=bool(self.facts.missing),
            runs=len(self.sessions) > 1,
            sweep=self.sweep_is_open,
            view=MAIN_HINTS if view is None else view.hints,
            own={} if view is None else view.hint_words,
        )
        return Frame(
            self.facts,
            look,
            self._ink,
            self._painter,
            self.session.title,
            shown,
            self.doing,
            tabs=tuple(self.tab_of(session) for session in self.sessions) if len(self.sessions) > 1 else (),
            tab=self.sessions.index(self.session),
            others=tuple(
                Other(number, session.title, session.facts, session.painter)
                for number, session in enumerate(self.sessions, 1)
                if session is not self.session
            ),
        )

    def _draw_ahead(self, panels: list[Panel], frame: Frame) -> None:
        """Plans the neighbouring layers, that in the direction of the last step first."""
        look, layers = frame.look, self.facts.layers
        way = -1 if look.layer < self._was_at else 1
        self._was_at = look.layer
        near = (look.at_layer(look.layer + way, layers), look.at_layer(look.layer - way, layers))
        if self._idler is not None and self.busy is None:
            self._ahead.plan(panels, [replace(frame, look=one) for one in near if one != look])
            self._idler.reset()
            self._idler.resume()

    def _go_on(self) -> None:
        if self._stale or not self._ahead.go_on():
            self._ahead.drop()
            if self._idler is not None:
                self._idler.pause()

    @property
    def doing(self) -> Busy | None:
        """What is being computed, in the words of the last line."""
        return self.busy

    def tab_of(self, session: Session) -> Tab:
        """What the tab of a run says."""
        name = session.title.removesuffix(".pkl") or "run"
        return Tab(name, visible(session.facts.run.spec.question))

    def get_default_screen(self) -> Screen[object]:
        """The screen of the panels."""
        return PanelScreen(id="_default")

    @property
    def _view(self) -> ViewPanel | None:
        """The view that fills the body; None for the main one, which is several panels."""
        return next((v for v in self.screen_stack[0].query(ViewPanel) if v.view == self.look.view), None)

    def look_at(self, look: Look) -> None:
        """Shows another state of the view."""
        if look != self.look:
            self.look = look
            self._show()

    @property
    def graphics_name(self) -> str:
        """Name of the renderer of maps."""
        return self._graphics.name

    @property
    def ink(self) -> Ink:
        """Colours."""
        return self._ink

    def keys(self) -> dict[str, list[str]]:
        """The keys in force, as they are shown, by binding id."""
        return self.keys_of(self._bindings)

    def keys_of(self, bindings: BindingsMap) -> dict[str, list[str]]:
        """The same of a screen with bindings of its own."""
        bindings = bindings.copy()
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
