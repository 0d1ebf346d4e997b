"""The curve with bands over many sizes: exact widths, and that everything lies over its K."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.bandcurve import Banded, Spread, band_canvas, band_lines
from flowtui.tui.draw.curve import AXIS_CELLS
from flowtui.tui.draw.ink import DARK, LIGHT
from flowtui.tui.draw.shades import rgb

WIDTHS = (8, 20, 46, 127)


def banded_of(layers: int, cliff: int | None = None) -> Banded:
    values = 90 - 40 * np.exp(-np.arange(layers + 1) / 3)
    interval = None if cliff is None else (max(0, cliff - 1), min(layers, cliff + 2))
    return Banded(values, values - 2, values + 3, float(values[-1]), float(values[-1]) - 1, cliff, interval)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fills_its_cells(width: int) -> None:
    for rows, layers, ink in product([1, 2, 5, 40], [1, 12, 32, 100], [DARK, LIGHT]):
        whole = banded_of(layers, layers // 2)
        nothing = replace(
            whole, values=np.full(layers + 1, np.nan), low=None, high=None, level=float("nan"), limit=None
        )
        flat = Banded(np.full(layers + 1, 50.0), np.full(layers + 1, 50.0), np.full(layers + 1, 50.0), 50.0)
        for banded in (whole, replace(whole, low=None, high=None, cliff=None, interval=None), nothing, flat):
            canvas = band_canvas(banded, width - AXIS_CELLS, rows, ink)
            made = band_lines(ink, width, canvas, banded, layers // 3, ("9.0", "1.0"))
            assert len(made) == rows + 2
            assert {strip.cell_length for strip in made} == {width}


def test_the_curve_lies_over_its_k_and_at_its_height() -> None:
    values = np.array([0.0] * 6 + [100.0] * 7)
    canvas = band_canvas(Banded(values, None, None, 100.0), 37, 8, DARK)
    start = Spread(12, 37).start
    lines = ["".join(glyph for glyph, _ in row) for row in canvas]
    assert lines[-1][: start(5) + 1].strip()
    assert not lines[-1][start(6) + 1 :].strip()
    assert lines[0][start(7) :].strip()


def test_the_band_is_a_shade_between_its_edges_alone() -> None:
    values = np.full(13, 50.0)
    banded = Banded(values, values - 20, values + 20, 50.0, limit=0.0)
    canvas = band_canvas(replace(banded, limit=-50.0), 37, 20, DARK)
    low, high = replace(banded, limit=-50.0).ends
    for y, row in enumerate(canvas):
        value = high - (high - low) * (y * 4 + 1.5) / 79
        grounds = {style.bgcolor.triplet for _, style in row[:37]}
        assert len(grounds) == 1
        shaded = tuple(grounds.pop()) != DARK.background
        if abs(abs(value - 50) - 20) > 3:
            assert shaded == (30 <= value <= 70)


def test_the_interval_and_the_cliff_stand_over_their_k() -> None:
    banded = banded_of(12, 7)
    canvas = band_canvas(banded, 37, 6, DARK)
    *plot, interval, axis = [s.text for s in band_lines(DARK, 43, canvas, banded, 3, ("1", "0"))]
    start = Spread(12, 37).start
    place = {k: AXIS_CELLS + start(k) for k in range(13)}
    assert interval[place[6]] == "├"
    assert interval[place[7]] == "◆"
    assert interval[place[9]] == "┤"
    assert interval.startswith("cliff")
    assert axis[place[3]] == "3"
    assert axis[place[7]] == "7"
    assert any(row[place[3]] == "│" for row in plot)
    assert any(row[place[7]] == "┊" for row in plot)
    without = replace(banded, cliff=None, interval=None)
    assert not band_lines(DARK, 43, canvas, without, 3, ("1", "0"))[-2].text.strip()


def test_curve_band_and_lines_differ_in_colour() -> None:
    canvas = band_canvas(banded_of(12, 7), 60, 20, DARK)
    tones = {rgb(style) for row in canvas for glyph, style in row if glyph != " "}
    assert len(tones) == 3


def test_of_no_ends_there_is_a_range() -> None:
    low, high = Banded(np.full(3, np.nan), None, None, float("nan")).ends
    assert low < high
    low, high = Banded(np.zeros(3), None, None, 0.0).ends
    assert low < 0 < high


def test_every_k_is_found_again_where_it_stands() -> None:
    for layers, width in [(1, 1), (1, 9), (12, 31), (32, 48), (96, 200)]:
        ks = Spread(layers, width)
        assert (ks.start(0), ks.start(layers)) == (0, width - 1)
        if width > layers:
            assert [ks.nearest(ks.start(k)) for k in range(layers + 1)] == list(range(layers + 1))
