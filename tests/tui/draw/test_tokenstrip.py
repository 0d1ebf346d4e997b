"""The strip of tokens: every token on exactly one line, levels in numbers of eighths, marks without colour."""

import numpy as np
import pytest
from rich.cells import cell_len

from flowtui.tui.draw.ink import DARK, LIGHT
from flowtui.tui.draw.shades import shaded
from flowtui.tui.draw.tokenstrip import GUTTER_CELLS, Chip, chip_at, lay_out, level, strip_lines

CHIPS = (
    Chip("<s>", 0, "system"),
    Chip("You", 0, "system"),
    Chip("image 2×2 = 4 tokens", 1, "image", block=True),
    Chip("␣what", 2, "user"),
    Chip("日本語", 2, "user"),
    Chip("red", 3, "answer"),
)


@pytest.mark.parametrize("width", [9, 14, 30, 78, 200])
def test_every_chip_is_on_one_line_of_the_right_width(width: int) -> None:
    lines = lay_out(CHIPS, width)
    assert [i for row in range(len(lines.starts)) for i in lines.chips(row)] == list(range(len(CHIPS)))
    values = np.array([0.5, 0.1, 0.3, 0.0, np.nan, 0.0])
    made = strip_lines(LIGHT, CHIPS, lines, range(len(lines.starts)), values, 0.1, 3, 5)
    assert [strip.cell_length for strip in made] == [width] * len(lines.starts)
    for row in range(len(lines.starts)):
        assert row in (lines.line_of(i) for i in lines.chips(row))
        for i in lines.chips(row):
            cells = range(width)
            assert i in {chip_at(CHIPS, lines, row, cell) for cell in cells}


def test_a_line_in_full() -> None:
    lines = lay_out(CHIPS, 60)
    values = np.array([0.5, 0.05, 0.3, 0.0, np.nan, 0.001])
    made = [s.text.rstrip() for s in strip_lines(DARK, CHIPS, lines, range(4), values, 0.1, 3, 5)]
    assert made == [
        "system  █<s>▄You",
        "image    [image 2×2 = 4 tokens  30.0 %]",
        "user    ▸␣what·日本語",
        "answer  ●red",
    ]


def test_a_part_that_goes_on_is_named_at_the_top_of_the_screen() -> None:
    chips = [Chip(f"word{i}", 2, "user") for i in range(40)]
    lines = lay_out(chips, 40)
    assert len(lines.starts) > 5
    made = strip_lines(DARK, chips, lines, range(3, 5), np.zeros(40), 1, 0, None)
    assert made[0].text.startswith("user ")
    assert made[1].text[:GUTTER_CELLS].strip() == ""


def test_scrolling_keeps_a_chip_on_screen() -> None:
    chips = [Chip(f"word{i}", 2, "user") for i in range(400)]
    lines = lay_out(chips, 40)
    for chip in (0, 3, 200, 399):
        first = lines.first(chip, 5)
        assert 0 <= first <= len(lines.starts) - 5
        assert first <= lines.line_of(chip) < first + 5
    assert lay_out(chips[:3], 80).first(2, 5) == 0


def test_levels() -> None:
    assert [level(v, 8) for v in (0.0, 0.4, 0.6, 1, 4, 8, 99)] == [" ", " ", "▁", "▁", "▄", "█", "█"]
    assert level(float("nan"), 8) == "·"
    assert level(1, 0) == " "


def test_nothing_is_drawn_of_tokens_off_screen() -> None:
    class Watched(tuple[Chip, ...]):
        asked: set[int]

        def __getitem__(self, i):  # type: ignore[no-untyped-def,override]
            self.asked.add(i)
            return super().__getitem__(i)

    chips = Watched(Chip(f"w{i}", 2, "user") for i in range(4000))
    chips.asked = set()
    lines = lay_out(chips, 100)
    chips.asked.clear()
    strip_lines(DARK, chips, lines, range(50, 60), np.zeros(4000), 1, 1000, None)
    assert len(chips.asked) < 300


def test_shades_stay_readable() -> None:
    for ink in (DARK, LIGHT):
        for group in ink.groups:
            for part in (0.0, 0.1, 0.3, 0.5, 0.8, 1.0, float("nan"), 7.0, -1.0):
                made = shaded(group, ink.background, part)
                assert made.color is not None
                assert made.bgcolor is not None
                light = [
                    float(np.dot(c.triplet, (0.299, 0.587, 0.114))) for c in (made.color, made.bgcolor) if c.triplet
                ]
                assert abs(light[0] - light[1]) > 60


def test_wide_characters_are_measured_in_cells() -> None:
    assert CHIPS[4].cells == cell_len("日本語") + 1 == 7
