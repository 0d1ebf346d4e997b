"""Blocks on an axis, pooling by hand, names and borders."""

from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.blockmatrix import Axis, heat, lay_out, names_across, names_down
from flowtui.tui.draw.ink import DARK, LIGHT

NAMES = ("system", "image", "user", "answer")


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12, 28, 94, 150])
def test_every_axis_is_shared_out_without_overlap(length: int) -> None:
    for counts in ([1], [5, 56, 3, 1], [1, 1, 1, 1], [3] * 20):
        axis = lay_out(counts, [6] * len(counts), length)
        taken = np.zeros(length, dtype=int)
        for start, size in axis.spans:
            assert size >= 0
            taken[start : start + size] += 1
        assert taken.max() <= 1
        borders = len(counts) - 1 if length >= 3 * len(counts) else 0
        assert taken.sum() == length - borders


def test_small_blocks_get_room_for_their_names() -> None:
    axis = lay_out([5, 56, 3, 1], [len(name) for name in NAMES], 60)
    sizes = [size for _, size in axis.spans]
    assert all(size >= len(name) for size, name in zip(sizes, NAMES, strict=True))
    assert sizes[1] == max(sizes)
    assert names_across(DARK, axis, [(name, DARK.text) for name in NAMES]).text.split() == list(NAMES)


def test_names_that_do_not_fit_get_shorter_and_then_go() -> None:
    axis = Axis(((0, 4), (5, 9), (15, 1), (17, 0)), 18)
    assert names_across(DARK, axis, [(name, DARK.text) for name in NAMES]).text.split() == ["syst", "image", "u"]
    assert names_down(Axis(((0, 2), (2, 1), (3, 9)), 12), ("a", "b", "c"), 6, 2) == ["a", "b", "", "c", "", ""]
    assert names_down(Axis(((0, 1), (1, 5)), 6), ("a", "b"), 3, 2)[1] == "b"


def test_pooling_by_hand() -> None:
    share = np.array([[1.0, 0, 0], [0.4, 0.6, 0], [0.1, 0.3, 0.6]])
    weights = np.array([1.0, 3.0, 2.0])
    # One pixel for the first two cells, two for the third.
    axis = Axis(((0, 1), (2, 2)), 4)
    down, across = axis.pooling([2, 1], weights), axis.pooling([2, 1], None)
    made = down @ share @ across.T
    expected = [(1 * 1.0 + 3 * 1.0) / 4, 0, 0, 0]
    assert made[0] == pytest.approx(expected)
    assert made[2] == pytest.approx([0.4, 0, 0.6, 0.6])
    assert made[3] == pytest.approx(made[2])
    assert not made[1].any()


def test_a_row_that_is_only_pooled_still_sums_to_one() -> None:
    share = np.tril(np.random.default_rng(0).exponential(1, (65, 65)))
    share /= share.sum(1, keepdims=True)
    counts = [5, 56, 3, 1]
    axis = lay_out(counts, [1] * 4, 28)
    made = axis.pooling(counts, np.ones(65)) @ share @ axis.pooling(counts, None).T
    inside = made.sum(axis=1) > 0
    assert made[inside].sum(axis=1) == pytest.approx(np.ones(int(inside.sum())))
    assert int((~inside).sum()) == 3


@pytest.mark.parametrize("plain", [False, True])
def test_any_size_and_zeros(plain: bool) -> None:
    for high, wide, ink in product([2, 10, 28], [1, 7, 60], [DARK, LIGHT]):
        down, across = lay_out([2, 5, 1], [1] * 3, high), lay_out([2, 5, 1], [4] * 3, wide)
        for values in (np.zeros((high, wide)), np.random.default_rng(0).uniform(0, 1, (high, wide))):
            made = heat(ink, values, down, across, plain=plain)
            assert len(made) == (high if plain else high // 2)
            assert {strip.cell_length for strip in made} == {wide}


def test_an_odd_number_of_pixels_gets_a_blank_half() -> None:
    axis = lay_out([2, 2], [1, 1], 7)
    assert len(heat(DARK, np.zeros((7, 7)), axis, axis)) == 4


def test_borders_are_lines_without_colour() -> None:
    axis = lay_out([2, 2], [1, 1], 7)
    made = [strip.text for strip in heat(DARK, np.ones((7, 7)), axis, axis, plain=True)]
    assert made == ["@@@│@@@"] * 3 + ["───┼───"] + ["@@@│@@@"] * 3
