"""The screen of run files to open, and the way from it to a tab."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from flowtui.tui.draw.graphics import Ascii, Graphics, HalfBlock
from flowtui.tui.draw.ink import Ink
from flowtui.tui.text import visible

from .listing import Listed, read_listed, run_files, stamp_of
from .opening import Opening
from .recent import recent
from .runlist import RunList


class BrowseScreen(ModalScreen[Path | None]):
    """Closes with a file that can be opened, or None.

    Args:
        here: Files of the folder.
        folder: The folder; None for none.
        lately: Files elsewhere.
        listed: What was read before; takes in what is read now.
        opened: Files that are open already.
        ink: Colours.
        graphics: Draws the thumbnails.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,b", "dismiss(None)", "close", id="browse.close"),
        Binding("j,down", "move(1)", "down", id="browse.down"),
        Binding("k,up", "move(-1)", "up", id="browse.up"),
        Binding("pagedown,J,shift+down", "page(1)", "page down", id="browse.forward"),
        Binding("pageup,K,shift+up", "page(-1)", "page up", id="browse.back"),
        Binding("g,home", "move(-100000)", "first", id="browse.first"),
        Binding("G,end", "move(100000)", "last", id="browse.last"),
        Binding("enter", "choose", "open", id="browse.open"),
    ]

    def __init__(
        self,
        here: Sequence[Path],
        folder: Path | None,
        lately: Sequence[Path],
        listed: dict[Path, Listed],
        opened: AbstractSet[Path],
        ink: Ink,
        graphics: Graphics,
        current: Path | None,
    ) -> None:
        super().__init__()
        self._listed = listed
        self._fresh: set[Path] = set()
        files = [*here, *lately]
        cursor = files.index(current) if current in files else 0
        self._list = RunList(files, folder, listed, opened, ink, graphics, cursor)
        where = "" if folder is None else f" in {visible(str(folder))}"
        self._title = f"Runs{where} ({len(here)})" + (f" · opened lately elsewhere ({len(lately)})" if lately else "")

    def compose(self) -> ComposeResult:
        """The list in a frame."""
        with Vertical(id="browse") as box:
            # As content and not as text, which would be read as markup.
            box.border_title = Content(self._title)
            box.border_subtitle = "Enter opens · j k move · Esc closes"
            yield self._list

    def on_mount(self) -> None:
        """Starts to read."""
        self._list.focus()
        self._read()

    @work(group="list")
    async def _read(self) -> None:
        """Reads one file after the other in a thread, the nearest to the marked one first."""
        while left := [i for i, path in enumerate(self._list.files) if path not in self._fresh]:
            shown = self._list.shown
            path = self._list.files[min(left, key=lambda i: (i not in shown, abs(i - self._list.cursor)))]
            listed = await asyncio.to_thread(_read_again, path, self._listed.get(path))
            self._fresh.add(path)
            self._listed[path] = listed
            self._list.redraw()

    def action_move(self, files: int) -> None:
        """Marks another file."""
        self._list.move(files)

    def action_page(self, pages: int) -> None:
        """A page on or back."""
        self._list.page(pages)

    def action_choose(self) -> None:
        """Closes with the marked file, or says why it cannot be opened."""
        if not self._list.files:
            return
        path = self._list.files[self._list.cursor]
        listed = self._listed.get(path)
        if listed is not None and listed.problem:
            self.app.notify(listed.problem, title=f"{path.name} cannot be opened", severity="error")
        else:
            self.dismiss(path)

    def on_run_list_chosen(self) -> None:
        """A click on the marked file."""
        self.action_choose()


def _read_again(path: Path, before: Listed | None) -> Listed:
    """What a file holds; read only if it is another than before."""
    if before is not None and before.stamp is not None and before.stamp == stamp_of(path):
        return before
    return read_listed(path)


class Browsing(Opening):
    """The key that opens the list."""

    _listed: dict[Path, Listed]

    def on_mount(self) -> None:
        """Nothing has been read yet."""
        self._listed = {}

    def action_browse(self) -> None:
        """Lists the run files beside this one, and those opened lately."""
        self._browse()

    @work(group="browse", exclusive=True)
    async def _browse(self) -> None:
        near = self._near
        folder = None if near is None else near.absolute().parent
        lately = (await asyncio.to_thread(recent, self._state_file)).runs
        here, elsewhere = await asyncio.to_thread(run_files, folder, lately)
        if not here and not elsewhere:
            self.notify("There are no run files here, and none was opened lately.")
            return
        opened = frozenset(s.path.absolute() for s in self.opened if s.path is not None)
        graphics: Graphics = Ascii() if self._graphics.name == "ascii" else HalfBlock()
        current = None if near is None else near.absolute()
        screen = BrowseScreen(here, folder, elsewhere, self._listed, opened, self._ink, graphics, current)
        self.push_screen(screen, self._browsed)

    @property
    def _near(self) -> Path | None:
        """The file on screen, or the one beside which it will be."""
        if self.sweep_screen is not None:
            return self.sweep_screen.sweep.path
        return self.session.path or self.session.origin if self.sessions else None

    def _browsed(self, path: Path | None) -> None:
        if path is not None:
            self.open_file(path)
