"""Differences between frames, drawn by a terminal: they must give the very screen that the whole frame gives."""

import random

import pyte
import pytest
from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from flowtui.tui.explorer.screencells import ScreenCells

WIDTH, HEIGHT = 24, 6
PLAIN = "ab .▀█─é"
WIDE = "図a👍"


def random_style(rng: random.Random) -> Style:
    # Few colours, so that neighbours and frames share some.
    front, back = (rng.choice([None, "#000000", "#ff8000", "#123456", "red", "bright_blue"]) for _ in range(2))
    style = Style(color=front, bgcolor=back, bold=rng.random() < 0.2, underline=rng.random() < 0.1)
    return style if rng.random() < 0.9 else Style()


def random_line(rng: random.Random, letters: str, width: int = WIDTH) -> Strip:
    segments: list[Segment] = []
    left = width
    while left:
        text = "".join(rng.choice(letters) for _ in range(rng.randint(1, 7)))
        segments.append(Segment(text, random_style(rng)))
        left = max(0, left - segments[-1].cell_length)
    return Strip(segments).adjust_cell_length(width, Style())


def frame_of(lines: list[Strip]) -> LayoutUpdate:
    return LayoutUpdate([[line] for line in lines], Region(0, 0, lines[0].cell_length, len(lines)))


def whole(lines: list[Strip]) -> str:
    """A frame drawn in full, as Rich draws it."""
    made = []
    for y, line in enumerate(lines):
        made.append(f"\x1b[{y + 1};1H")
        made += [Strip.render_style(s.style or Style(), s.text, ColorSystem.TRUECOLOR) for s in line]
    return "".join(made)


class Screen:
    def __init__(self, width: int = WIDTH, height: int = HEIGHT) -> None:
        self.screen = pyte.Screen(width, height)
        self.screen.reset_mode(pyte.modes.DECAWM)
        self._stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> "Screen":
        self._stream.feed(text)
        return self

    @property
    def seen(self) -> list[list[object]]:
        """Cells, without the text colour of blanks, which cannot be seen."""
        rows = [[self.screen.buffer[y][x] for x in range(self.screen.columns)] for y in range(self.screen.lines)]
        return [
            [c._replace(fg="", bold=False) if c.data == " " and not c.underscore else c for c in row] for row in rows
        ]


@pytest.mark.parametrize("letters", [PLAIN, PLAIN + WIDE])
@pytest.mark.parametrize("seed", range(12))
def test_differences_give_the_same_screen(letters: str, seed: int) -> None:
    rng = random.Random(seed)
    cells, screen = ScreenCells(), Screen()
    lines = [random_line(rng, letters) for _ in range(HEIGHT)]
    for _ in range(12):
        screen.feed(cells.encode(frame_of(lines), ColorSystem.TRUECOLOR))
        assert screen.seen == Screen().feed(whole(lines)).seen
        for _ in range(rng.randint(0, 3)):
            lines[rng.randrange(HEIGHT)] = random_line(rng, letters)


def test_what_is_there_is_not_sent_again() -> None:
    lines = [random_line(random.Random(1), PLAIN) for _ in range(HEIGHT)]
    cells = ScreenCells()
    first = cells.encode(frame_of(lines), ColorSystem.TRUECOLOR)
    assert cells.encode(frame_of(lines), ColorSystem.TRUECOLOR) == ""
    # A line that is equal but was made anew counts as the same.
    again = [Strip(list(line)) for line in lines]
    assert cells.encode(frame_of(again), ColorSystem.TRUECOLOR) == ""
    cells.forget()
    assert cells.encode(frame_of(lines), ColorSystem.TRUECOLOR) == first


def test_one_cell_costs_a_few_bytes() -> None:
    style = Style.from_color(Color.from_rgb(1, 2, 3), Color.from_rgb(4, 5, 6))
    cells = ScreenCells()
    cells.encode(frame_of([Strip([Segment("x" * WIDTH, style)])]), ColorSystem.TRUECOLOR)
    changed = Strip([Segment("x" * 9, style), Segment("y", style), Segment("x" * (WIDTH - 10), style)])
    assert cells.encode(frame_of([changed]), ColorSystem.TRUECOLOR) == ("\x1b[1;10H\x1b[38;2;1;2;3;48;2;4;5;6my\x1b[0m")


def test_another_size_is_sent_in_full() -> None:
    rng = random.Random(2)
    cells = ScreenCells()
    cells.encode(frame_of([random_line(rng, PLAIN) for _ in range(HEIGHT)]), ColorSystem.TRUECOLOR)
    lines = [random_line(rng, PLAIN, 10) for _ in range(3)]
    screen = Screen(10, 3).feed(cells.encode(frame_of(lines), ColorSystem.TRUECOLOR))
    assert screen.seen == Screen(10, 3).feed(whole(lines)).seen


def test_few_colours() -> None:
    """A terminal without true colours gets what Textual would send it."""
    style = Style.from_color(Color.from_rgb(255, 0, 0), Color.from_rgb(0, 0, 0))
    sent = ScreenCells().encode(frame_of([Strip([Segment("x" * WIDTH, style)])]), ColorSystem.EIGHT_BIT)
    assert "38;5;" in sent
    assert "38;2;" not in sent
