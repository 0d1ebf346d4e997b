"""Bars, scrubber and curve over many sizes: exact widths, and the numbers they must show."""

from itertools import product

import numpy as np
import pytest

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.bars import group_bars
from flowtui.tui.draw.curve import AXIS_CELLS, Curve, Ks, curve_canvas, curve_lines
from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.scrubber import scrubber

WIDTHS = (20, 31, 46, 58, 127)


@pytest.mark.parametrize("width", WIDTHS)
def test_group_bars(width: int) -> None:
    for rows, layers in product([1, 2, 3, 4], [1, 12, 80]):
        shares = np.random.default_rng(0).dirichlet(np.ones(4), layers)
        shares[layers // 2 :, 0] = np.nan
        made = group_bars(DARK, width, rows, GROUPS, shares, 0)
        assert len(made) == 4 * rows
        assert {strip.cell_length for strip in made} == {width}
        for g, name in enumerate(GROUPS):
            first = made[g * rows].text
            assert first.startswith(name)
            assert (f"{100 * shares[0, g]:.1f} %" if np.isfinite(shares[0, g]) else "· %") in first


@pytest.mark.parametrize("width", WIDTHS)
def test_scrubber_names_the_layer_and_the_cliff(width: int) -> None:
    for height, layers in product([2, 3, 4], [1, 12, 32, 200]):
        values = np.linspace(0.5, 0, layers)
        for layer in {0, layers // 2, layers - 1}:
            for cliff in (None, layers - 1):
                made = scrubber(DARK, width, height, "image share", values, layer, cliff)
                assert [strip.cell_length for strip in made] == [width] * height
                assert str(layer) in made[-1 if height == 2 else -2].text.split()
                if height > 2:
                    assert "▲" in made[-1].text
                    if cliff == layer:
                        assert "cliff" in made[-1].text


def test_scrubber_with_nothing_known() -> None:
    made = scrubber(DARK, 40, 3, "image share", np.full(12, np.nan), 3, None)
    assert "··" in made[0].text


def curve_of(layers: int, cliff: int | None, missing: tuple[int, ...] = ()) -> Curve:
    kl = np.array([2.0 if cliff is None or k < cliff else 0.001 for k in range(layers)] + [0.0])
    same: list[bool | None] = [bool(k == layers or (cliff is not None and k >= cliff)) for k in range(layers + 1)]
    for k in missing:
        kl[k], same[k] = np.nan, None
    return Curve(kl, tuple(same), cliff, 0.05)


@pytest.mark.parametrize("width", WIDTHS)
def test_curve_fills_its_cells(width: int) -> None:
    for rows, layers, missing in product([1, 2, 5, 40], [1, 12, 32, 100], [(), (0, 1), (1,)]):
        curve = curve_of(layers, min(7, layers - 1), missing)
        canvas = curve_canvas(curve, width - AXIS_CELLS, rows, DARK)
        made = curve_lines(DARK, width, canvas, curve, layers // 2)
        assert len(made) == rows + 2
        assert {strip.cell_length for strip in made} == {width}


def test_the_fall_of_the_curve_lies_over_its_k() -> None:
    curve = curve_of(12, 7)
    width = 12 * 3 + 1
    lines = [text.plain for text in curve_canvas(curve, width, 8, DARK)]
    # High before K = 6, low from K = 7 on: nothing is drawn above the rule's line there.
    assert lines[0][: Ks(12, width).start(6)].strip(" \u2800") != ""
    for row in lines[:-1]:
        assert set(row[Ks(12, width).start(7) + 1 :]) <= {" ", "\u2800"}


def test_marks_tell_same_from_different_from_unknown() -> None:
    curve = curve_of(12, 7, missing=(3,))
    # One cell more than the points need: the label of K = 12 is two cells wide.
    canvas = curve_canvas(curve, 40, 4, DARK)
    made = curve_lines(DARK, 40 + AXIS_CELLS, canvas, curve, 5)
    assert made[-2].text.split() == ["same", *"○○○·○○○●●●●●●"]
    assert made[-1].text.split() == ["K", *(str(k) for k in range(13))]
    assert any("│" in strip.text[AXIS_CELLS:] for strip in made)


def test_of_several_k_in_one_cell_a_difference_shows() -> None:
    curve = curve_of(100, 50)
    made = curve_lines(DARK, 20 + AXIS_CELLS, curve_canvas(curve, 20, 3, DARK), curve, 0)
    marks = made[-2].text.split(maxsplit=1)[1].strip()
    assert marks == "○" * marks.count("○") + "●" * marks.count("●")
    assert marks.count("○") >= 10


def test_no_values_at_all() -> None:
    curve = Curve(np.full(13, np.nan), (None,) * 13, None, 0.05)
    assert len(curve_lines(DARK, 40, curve_canvas(curve, 34, 3, DARK), curve, 0)) == 5
