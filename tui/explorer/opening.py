"""The open runs: which one is on screen, and opening and closing them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual import work

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError

from .recent import opened_run
from .session import Session
from .tabbar import TabPicked
from .working import Working


class Opening(Working):
    """Tabs.

    Attributes:
        others: Files that are opened behind the first run at the start.
    """

    others: tuple[Path, ...] = ()

    def on_mount(self) -> None:
        """Opens the other runs behind the first."""
        self._remember_opened(self.session)
        if self.others:
            self.open_files(self.others, show=False)

    def _remember_opened(self, session: Session) -> None:
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
                session = await asyncio.to_thread(self._read_session, path)
            except FlowtuiError as error:
                self.notify(str(error), title="Not opened", severity="error", timeout=12)
            else:
                if session not in self.sessions:
                    self.sessions.append(session)
                    self._remember_opened(session)
                self.show_session(session if show else self.session)

    def _read_session(self, path: Path) -> Session:
        """Reads a run file, unless it is open already."""
        path = path.absolute()
        for session in self.sessions:
            if session.path is not None and _same(session.path, path):
                return session
        return self.new_session(Run.from_plain(read_plain(path)), path)

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
