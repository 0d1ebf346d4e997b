"""The open sweeps: which one is on screen, and the ways between them and the runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.notifications import SeverityLevel

from flowtui.engine.results import Run
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Graphics

from . import computing
from .exporting import Export, export_screen
from .memory import read_sweep_look, remember_sweep
from .opensweep import CurveFound, OpenSweep
from .question import full_name
from .session import Session
from .working import Working

if TYPE_CHECKING:
    from flowtui.engine.sweeps.result import Sweep

    from .sweepscreen import SweepScreen

Writer = Callable[[Export, Path], tuple[str, SeverityLevel]]
"""Writes a choice into a folder, and says what came of it."""


class Sweeping(Working):
    """Sweeps lie over the runs, one at a time.

    Attributes:
        sweeps: The open sweeps.
        sweep: The one that was on screen last, or None.
    """

    def __init__(
        self,
        run: Run | Sweep,
        path: Path | None,
        graphics: Graphics,
        state_file: Path | None,
        config: Config,
        engine: computing.Engine | None,
    ) -> None:
        first = run if isinstance(run, Run) else None
        super().__init__(first, path, graphics, state_file, config, engine)
        self.sweeps: list[OpenSweep] = []
        self.sweep: OpenSweep | None = None
        if not isinstance(run, Run):
            self.sweeps.append(self.new_sweep(run, path))

    def on_mount(self) -> None:
        """The first file may be a sweep."""
        if self.sweeps:
            self.show_sweep(self.sweeps[0])

    async def on_unmount(self) -> None:
        """Remembers what was looked at."""
        for sweep in self.sweeps:
            remember_sweep(self._state_file, sweep.facts.sweep, sweep.look)

    def new_sweep(self, sweep: Sweep, path: Path | None) -> OpenSweep:
        """A sweep that is looked at as it was left the last time. Reads files."""
        from .sweepfacts import SweepFacts

        return OpenSweep(SweepFacts(sweep), path, read_sweep_look(self._state_file, sweep))

    @property
    def sweep_screen(self) -> SweepScreen | None:
        """The sweep's screen, where there is one; a dialog may lie over it."""
        if not self.sweeps:
            return None
        from .sweepscreen import SweepScreen

        return next((one for one in reversed(self.screen_stack) if isinstance(one, SweepScreen)), None)

    @property
    def opened(self) -> list[Session | OpenSweep]:
        """All that is open, runs first."""
        return [*self.sessions, *self.sweeps]

    @property
    def can_leave_sweep(self) -> bool:
        """Whether anything else is open."""
        return bool(self.sessions) or len(self.sweeps) > 1

    def draw(self) -> None:
        """Draws the sweep, or the runs, whichever can be seen."""
        screen = self.sweep_screen
        if screen is not None:
            screen.draw()
        else:
            super().draw()

    def prepare(self, enough: Callable[[], bool]) -> None:
        """As the runs do; a sweep is drawn fast enough."""
        if self.sweep_screen is None:
            super().prepare(enough)

    # From one to the other

    def add_sweep(self, sweep: OpenSweep) -> None:
        """Takes an open sweep in, and shows it."""
        if sweep not in self.sweeps:
            self.sweeps.append(sweep)
        self.show_sweep(sweep)

    def show_sweep(self, sweep: OpenSweep) -> None:
        """Brings an open sweep on screen."""
        self.show_runs()
        self.sweep, self.sweep_is_open = sweep, True
        from .sweepscreen import SweepScreen

        self.push_screen(SweepScreen(sweep))

    def show_runs(self) -> None:
        """Takes the sweep, and what lies over it, off the screen."""
        if self.sweep_screen is not None:
            while len(self.screen_stack) > 1:
                self.pop_screen()

    def leave_sweep(self, sweep: OpenSweep, step: int) -> None:
        """To the next open sweep or the one before, and after the last to the runs."""
        ring: list[OpenSweep | None] = [*([None] if self.sessions else []), *self.sweeps]
        if len(ring) == 1:
            self.notify("Only this sweep is open. Enter opens an item as a run, b another file.")
            return
        other = ring[(ring.index(sweep) + step) % len(ring)]
        if other is None:
            self.show_runs()
            self._lay_out()
        else:
            self.show_sweep(other)

    def close_sweep(self, sweep: OpenSweep) -> None:
        """Closes a sweep; what is then on screen is what comes after it."""
        if not self.can_leave_sweep:
            self.notify("This is the only open sweep; q quits.")
            return
        self.leave_sweep(sweep, 1)
        self.sweeps.remove(sweep)
        remember_sweep(self._state_file, sweep.facts.sweep, sweep.look)
        if self.sweep is sweep:
            self.sweep = self.sweeps[-1] if self.sweeps else None
        self.sweep_is_open = self.sweep is not None
        self._show()

    def cancel_or_leave(self) -> None:
        """Cancels what is being computed; where nothing is, goes to the runs."""
        if self.busy is not None:
            self.action_cancel()
        elif self.sessions:
            self.show_runs()
            self._lay_out()

    def action_sweep(self) -> None:
        """Back to the sweep."""
        if self.sweep is not None:
            self.show_sweep(self.sweep)
        else:
            self.notify("No sweep is open. b opens files, sweeps among them.")

    # What takes long

    def find_in_thread(self, find: Callable[[], None]) -> None:
        """Runs a search for a cliff away from the keys."""
        self.run_worker(find, thread=True, group="cliff")

    def on_curve_found(self, event: CurveFound) -> None:
        """Bands and a cliff are there, or will not be."""
        for sweep in self.sweeps:
            if sweep.facts is event.facts and event.problem:
                sweep.problems[event.key] = event.problem
        if self.sweep_screen is not None:
            self.sweep_screen.found()
        self._show()

    def export(self, choices: Sequence[Export], folder: Path, write: Writer, index: int | None) -> None:
        """Writes what was chosen: the screen as it is once the dialog is gone, or what `write` knows of."""
        if index is not None:
            choice = choices[index]
            if choice.kind == "screen":
                self.call_after_refresh(self._write_screen, choice, folder)
            else:
                self._write(partial(write, choice, folder))

    def _write_screen(self, choice: Export, folder: Path) -> None:
        from .pictured import screen_svg

        over = self.sweep_screen
        name, title = ("sweep", over.sweep.title) if over is not None else (self.look.view, self.session.title)
        # A picture of what is there now; drawing it as PNG takes longer.
        svg = screen_svg(self, f"flowtui {title}".strip())
        self._write(partial(export_screen, svg, name, choice, folder))

    @work(group="export")
    async def _write(self, write: Callable[[], tuple[str, SeverityLevel]]) -> None:
        text, severity = await asyncio.to_thread(write)
        self.notify(text, severity=severity)

    def _named_by_files(self) -> set[str]:
        """Models that the open files name."""
        named = {sweep.facts.sweep.model.name for sweep in self.sweeps}
        return super()._named_by_files() | named | {full_name(model) for model in named}
