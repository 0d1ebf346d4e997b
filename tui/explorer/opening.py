"""The open runs: which one is on screen, and opening and closing them."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError

from .session import Session
from .tabbar import TabPicked
from .working import Working


class Opening(Working):
    """Tabs."""

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

    def open_files(self, paths: tuple[Path, ...]) -> None:
        """Opens run files one after the other, reading them in a thread; what cannot be opened is a toast."""
        self.run_worker(partial(self._open_files, paths), group="open")

    async def _open_files(self, paths: tuple[Path, ...]) -> None:
        for path in paths:
            try:
                # Inside a worker: keys are answered meanwhile.
                session = await asyncio.to_thread(self._read_session, path)
            except FlowtuiError as error:
                self.notify(str(error), title="Not opened", severity="error", timeout=12)
            else:
                if session in self.sessions:
                    self.show_session(session)
                else:
                    self.add_session(session)

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
