"""The open runs: which one is on screen, and opening and closing them, sweeps too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual import work

from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.readfile import read_file

from .opensweep import OpenSweep
from .recent import opened_run
from .session import Session
from .sweeping import Sweeping
from .tabbar import TabPicked


class Opening(Sweeping):
    """Tabs.

    Attributes:
        others: Files that are opened behind the first run at the start.
    """

    others: tuple[Path, ...] = ()

    def on_mount(self) -> None:
        """Opens the other runs behind the first."""
        for one in self.opened:
            self._remember_opened(one)
        if self.others:
            self.open_files(self.others, show=False)

    def _remember_opened(self, session: Session | OpenSweep) -> None:
        if session.path is not None:
            self._write_opened(session.path)

    @work(thread=True, group="remember")
    def _write_opened(self, path: Path) -> None:
        opened_run(self._state_file, path)

    def add_session(self, session: Session) -> None:
        """Shows a run in a tab of its own, after the others."""
        self.sessions.append(session)
        self.show_session(session)

    def show_session(self, session: Session) -> None:
        """Brings an open run on screen."""
        if session in self.sessions:
            self.show_runs()
            self.session = session
            self._lay_out()

    def open_file(self, path: Path) -> None:
        """Opens a run file in a tab, or goes to the tab where it is open."""
        self.open_files((path,))

    @work(group="open")
    async def open_files(self, paths: tuple[Path, ...], *, show: bool = True) -> None:
        """Opens run files one after the other, reading them in a thread; what cannot be opened is a toast."""
        for path in paths:
            try:
                # Inside a worker: keys are answered meanwhile.
                opened = await asyncio.to_thread(self._read_opened, path)
            except FlowtuiError as error:
                self.notify(str(error), title="Not opened", severity="error", timeout=12)
            else:
                self._take_in(opened, show=show)

    def _take_in(self, opened: Session | OpenSweep, *, show: bool) -> None:
        """Adds what was opened, unless it is there, and shows it."""
        if opened not in self.opened:
            if isinstance(opened, Session):
                self.sessions.append(opened)
            else:
                self.sweeps.append(opened)
            self._remember_opened(opened)
        if isinstance(opened, OpenSweep):
            self.sweep, self.sweep_is_open = self.sweep or opened, True
            if show:
                self.show_sweep(opened)
        elif show:
            self.show_session(opened)
        elif len(self.sessions) == 1:
            self.session = opened
        self._lay_out()

    def _read_opened(self, path: Path) -> Session | OpenSweep:
        """Reads a run or a sweep, unless it is open already."""
        path = path.absolute()
        for one in self.opened:
            if one.path is not None and _same(one.path, path):
                return one
        found = read_file(path)
        return self.new_session(found, path) if isinstance(found, Run) else self.new_sweep(found, path)

    def action_run(self, step: int) -> None:
        """The next open run, or the one before."""
        if len(self.sessions) == 1:
            self.notify("Only this run is open. a asks another question, b opens another run.")
            return
        index = self.sessions.index(self.session) + step
        self.show_session(self.sessions[index % len(self.sessions)])

    def on_tab_picked(self, event: TabPicked) -> None:
        """A click on a tab."""
        if event.index < len(self.sessions):
            self.show_session(self.sessions[event.index])

    def action_close_run(self) -> None:
        """Closes the tab on screen; its file stays."""
        session = self.session
        if len(self.sessions) == 1:
            self.notify("This is the only open run; q quits.")
        elif session is self._job:
            self.notify("This run is being computed. Esc cancels it; then it can be closed.")
        else:
            index = self.sessions.index(session)
            self.sessions.remove(session)
            self.forget(session)
            self.show_session(self.sessions[min(index, len(self.sessions) - 1)])


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a.absolute() == b
