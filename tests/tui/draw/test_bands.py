"""Bands over layers: exact sizes, sums to an eighth of a cell, and the same reading without colour."""

from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.bands import GAIN, PLAIN, hanging, stacked
from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.spark import EIGHTHS_UP, MISSING

TONES = [DARK.groups[1], DARK.groups[2], DARK.groups[0]]


def shares(cells: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(3), cells)


def eighths(strips: list, band: int, cell: int) -> int:
    """Eighths of a column that a band's colour covers."""
    found = 0
    tone = TONES[band].color
    for strip in strips:
        (segment,) = strip.crop(cell, cell + 1)
        part = EIGHTHS_UP.index(segment.text)
        assert segment.style is not None
        found += part * (segment.style.color == tone) + (8 - part) * (segment.style.bgcolor == tone and part < 8)
    return found


@pytest.mark.parametrize("plain", [False, True])
def test_any_size(plain: bool) -> None:
    for cells, height in product([1, 12, 96], [1, 2, 5, 31]):
        for values in (shares(cells), np.zeros((cells, 3)), np.full((cells, 3), np.nan)):
            made = stacked(DARK, TONES, values, height, plain=plain)
            assert len(made) == height
            assert {strip.cell_length for strip in made} == {cells}


def test_shares_fill_the_height_and_each_band_has_its_eighths() -> None:
    values = shares(40)
    made = stacked(DARK, TONES, values, 20)
    for cell, value in enumerate(values):
        found = [eighths(made, band, cell) for band in range(3)]
        assert sum(found) == 160
        # A cell has two colours: of three bands in one, the thinnest gives way by less than half of it.
        assert np.abs(np.array(found) - value * 160).max() < 5


def test_by_hand_in_one_column() -> None:
    made = stacked(DARK, TONES, np.array([[0.25, 0.5, 0.0]]), 2)
    assert [strip.text for strip in made] == ["▄", "▄"]
    low, high = made[1]._segments[0].style, made[0]._segments[0].style
    assert (low.color, low.bgcolor) == (TONES[0].color, TONES[1].color)
    assert (high.color, high.bgcolor) == (TONES[1].color, DARK.text.bgcolor)


def test_a_trace_of_something_shows_and_nothing_does_not() -> None:
    made = stacked(DARK, TONES, np.array([[0.0, 1e-9, 0.0], [0.0, 0.0, 0.0], [np.nan, 0.1, 0.1]]), 3)
    assert made[-1].text == "▁ " + MISSING
    assert eighths(made, 1, 0) == 1


def test_without_colour_glyphs_tell_the_bands() -> None:
    made = stacked(
        DARK, TONES, np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 0], [0.5, 0, 0]]), 2, plain=True
    )
    assert [strip.text for strip in made] == [f"{PLAIN}  ", f"{PLAIN} █"]


def test_losses_hang_and_gains_stand() -> None:
    values = np.array([-1.0, -0.5, 0.5, 0.0, np.nan])
    made = hanging(DARK, TONES[0], values, 1.0, (1, 2))
    assert [strip.text for strip in made] == ["  █  ", "██▔▔" + MISSING, "█    "]
    one = hanging(DARK, TONES[0], values, 1.0, (0, 1))
    assert one[0].text == "█▀" + GAIN + "▔" + MISSING
    plain = hanging(DARK, TONES[0], np.array([-1.0, -0.5, -0.1, 0.0, 0.2]), 1.0, (0, 1), plain=True)
    assert plain[0].text == "█▀▔ " + GAIN


def test_a_hanging_bar_is_the_ground_over_its_colour() -> None:
    (strip,) = hanging(DARK, TONES[0], np.array([-0.75]), 1.0, (0, 1))
    (segment,) = strip
    assert segment.text == "▂"
    assert segment.style.bgcolor == TONES[0].color
    assert segment.style.color == DARK.text.bgcolor


def test_hanging_any_size() -> None:
    for cells, rows, high in product([1, 12, 96], [(0, 1), (1, 2), (1, 4)], [0.0, 1e-9, 13.0]):
        for plain in (False, True):
            for values in (np.linspace(-13, 2, cells), np.zeros(cells), np.full(cells, np.nan)):
                made = hanging(DARK, TONES[0], values, high, rows, plain=plain)
                assert [strip.cell_length for strip in made] == [cells] * sum(rows)
