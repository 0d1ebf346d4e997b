"""The list of run files: a thumbnail and a few lines for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from rich.cells import cell_len
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from flowtui.tui.draw.cells import Part, clip, fit, line, wrap
from flowtui.tui.draw.fields import fit_cells, make_canvas
from flowtui.tui.draw.graphics import Graphics, Picture
from flowtui.tui.draw.ink import Ink
from flowtui.tui.text import visible

from .listing import Listed

ROOMY_ROWS = 30
"""From this height on each file has six rows, below it four."""


class RunList(Widget, can_focus=True):
    """Draws itself from what has been read so far.

    Args:
        files: Run files, in order.
        here: The folder whose name need not be said; None for none.
        listed: File -> what it holds, as far as read.
        opened: Files that are open already.
        ink: Colours.
        graphics: Draws the thumbnails.
        cursor: The file that is marked first.
    """

    class Chosen(Message):
        """A click on the marked file."""

    def __init__(
        self,
        files: Sequence[Path],
        here: Path | None,
        listed: Mapping[Path, Listed],
        opened: AbstractSet[Path],
        ink: Ink,
        graphics: Graphics,
        cursor: int = 0,
    ) -> None:
        super().__init__(id="runs")
        self.files = files
        self.cursor = cursor
        self._first = 0
        self._here = here
        self._listed = listed
        self._opened = opened
        self._ink = ink
        self._graphics = graphics
        self._thumbnails: dict[tuple[Path, int, int], tuple[object, list[Strip]]] = {}
        self._lines: list[Strip] = []

    @property
    def rows(self) -> int:
        """Rows of one file, the blank one below it included."""
        return 7 if self.size.height >= ROOMY_ROWS else 5

    @property
    def shown(self) -> range:
        """Files on the screen."""
        return range(self._first, min(self._first + self._each, len(self.files)))

    @property
    def _each(self) -> int:
        """Files that fit, the blank row of the last one aside."""
        return max(1, (self.size.height + 1) // self.rows)

    def move(self, files: int) -> None:
        """Marks another file."""
        self.cursor = max(0, min(self.cursor + files, len(self.files) - 1))
        self.redraw()

    def page(self, pages: int) -> None:
        """A page on or back."""
        self.move(pages * self._each)

    def redraw(self) -> None:
        """Draws what is known now."""
        width, height = self.size
        last = max(0, len(self.files) - self._each)
        self._first = min(max(self._first, self.cursor - self._each + 1), self.cursor, last)
        made: list[Strip] = []
        for index in self.shown:
            made += self._item(index, width)
        self._lines = fit(made, self._ink, width, height)
        self.refresh()

    def on_resize(self) -> None:
        """Draws again at the new size."""
        self.redraw()

    def render_line(self, y: int) -> Strip:
        """One finished line."""
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Marks the file under the mouse; a click on the marked one chooses it."""
        index = self.shown.start + event.y // self.rows
        if index == self.cursor:
            self.post_message(self.Chosen())
        elif index in self.shown:
            self.move(index - self.cursor)

    def on_mouse_scroll_down(self) -> None:
        """The next file."""
        self.move(1)

    def on_mouse_scroll_up(self) -> None:
        """The previous file."""
        self.move(-1)

    def _item(self, index: int, width: int) -> list[Strip]:
        ink, path, rows = self._ink, self.files[index], self.rows
        listed = self._listed.get(path)
        beside = min(2 * (rows - 1), width // 3)
        picture = self._thumbnail(path, listed, beside, rows - 1)
        room = max(1, width - beside - 5)
        lines = item_lines(
            ink, room, rows - 1, path, listed, where=self._where(path, room), marked=index == self.cursor
        )
        bar: Part = ("▐ " if index == self.cursor else "  ", ink.accent)
        made = []
        for left, right in zip(picture, lines, strict=True):
            made.append(Strip.join([line(ink, 2, bar), left, line(ink, 2, ("", ink.text)), right]))
        return [*(strip.adjust_cell_length(width, ink.text) for strip in made), line(ink, width, ("", ink.text))]

    def _where(self, path: Path, room: int) -> str:
        if path in self._opened:
            return "open"
        if path.parent == self._here:
            return ""
        # The end of a path says more than its beginning.
        text, most = visible(str(path.parent)), max(2, room // 2)
        while cell_len(text) > most:
            text = f"…{text[2:]}"
        return text

    def _thumbnail(self, path: Path, listed: Listed | None, width: int, rows: int) -> list[Strip]:
        """The image in a box of this size: exactly `rows` lines."""
        ink = self._ink
        photo = None if listed is None else listed.thumbnail
        if photo is None:
            word = "reading" if listed is None else "damaged" if listed.problem else "no image"
            return fit([line(ink, width, (clip(word, width), ink.dim))], ink, width, rows)
        key = (path, width, rows)
        if key not in self._thumbnails or self._thumbnails[key][0] is not photo:
            size = fit_cells(photo.width / photo.height, width, rows)
            pixels = (size[0] * self._graphics.cell_px[0], size[1] * self._graphics.cell_px[1])
            rgb = make_canvas([photo], (photo.size,), pixels, ink.background).rgb
            strips = self._graphics.draw(Picture(rgb, None, 0.0, ink.background))
            self._thumbnails[key] = (photo, [strip.adjust_cell_length(width, ink.text) for strip in strips])
        return fit(self._thumbnails[key][1], ink, width, rows)


def item_lines(
    ink: Ink, width: int, rows: int, path: Path, listed: Listed | None, *, where: str, marked: bool
) -> list[Strip]:
    """What is said about a file: exactly `rows` lines.

    Args:
        ink: Colours.
        width: Cells.
        rows: At least four.
        path: The file.
        listed: What it holds; None while it has not been read.
        where: What stands at the right edge of the first line, safe to show.
        marked: Whether the cursor is on it.
    """
    name = visible(path.name)
    made = [line(ink, width, (f" {name} " if marked else name, ink.mark if marked else ink.strong),
                 right=[(where, ink.dim)])]  # fmt: skip
    if listed is None:
        made.append(line(ink, width, ("…", ink.dim)))
    elif listed.problem:
        made += [line(ink, width, (text, ink.warn)) for text in wrap(listed.problem, width, rows - 1)]
    else:
        spare = max(1, rows - 3)
        questions = wrap(listed.question, width - 3, spare) if listed.question else []
        for i, text in enumerate(questions):
            made.append(line(ink, width, ("Q  " if i == 0 else "   ", ink.accent), (text, ink.text)))
        if listed.answer:
            made.append(line(ink, width, ("A  ", ink.accent), (clip(listed.answer, width - 3), ink.text)))
        about = " · ".join(word for word in (listed.model, listed.about) if word)
        made.append(line(ink, width, (about, ink.dim)))
    return fit(made, ink, width, rows)
