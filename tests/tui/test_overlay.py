from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from flowtui.engine.results import Span
from flowtui.tui.overlay import cell_field, overlay
from tests.factories import random_run


def test_each_cell_covers_its_own_pixels() -> None:
    tokens = random_run(grid=(3, 4), analyses=()).tokens
    values = np.arange(12, dtype=np.float32)
    field = cell_field(tokens, values, 0, (96, 96))
    expected = np.kron(values.reshape(3, 4), np.ones((32, 24)))
    np.testing.assert_array_equal(field, expected)


def test_a_box_covers_only_its_rectangle() -> None:
    run = random_run(grid=(2, 2), analyses=())
    tokens = replace(run.tokens, spans=(Span(0, 14, 18, 2, 2, 2, (10.0, 20.0, 30.0, 60.0)),))
    field = cell_field(tokens, np.array([1.0, 2.0, 3.0, 4.0]), 0, (40, 80))
    known = np.isfinite(field)
    assert np.argwhere(known).min(0).tolist() == [20, 10]
    assert np.argwhere(known).max(0).tolist() == [59, 29]
    assert known.sum() == 40 * 20
    assert field[20, 10] == 1
    assert field[59, 29] == 4


def test_hot_pixels_change_and_a_zero_map_changes_nothing() -> None:
    tokens = random_run(grid=(2, 2), analyses=()).tokens
    picture = Image.new("RGB", (96, 96), (10, 120, 200))
    values = np.array([0.0, 0.0, 5.0, 0.0])
    made = np.asarray(overlay(picture, tokens, values))
    assert made.shape == (96, 96, 3)
    hot, cold = made[70, 20].astype(int), made[20, 70].astype(int)
    assert np.abs(hot - cold).max() > 50
    np.testing.assert_array_equal(np.asarray(overlay(picture, tokens, values * 0)), np.asarray(picture))
    np.testing.assert_array_equal(made, np.asarray(overlay(picture, tokens, values * 1000)))


def test_a_map_of_another_image_leaves_this_one() -> None:
    tokens = random_run(grid=(2, 2), analyses=()).tokens
    picture = Image.new("RGB", (96, 96), (10, 120, 200))
    np.testing.assert_array_equal(np.asarray(overlay(picture, tokens, np.ones(4), image=1)), np.asarray(picture))
