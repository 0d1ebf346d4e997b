import colorsys

import numpy as np
import pytest

from flowtui.tui.draw.colours import ANCHORS, colour, from_oklab, table, to_oklab


@pytest.mark.parametrize("name", ANCHORS)
def test_steps_look_equally_far_apart_and_get_lighter(name: str) -> None:
    lab = to_oklab(table(name))
    # Over 32 steps, so that the rounding to bytes (a good part of one dark step) does not count.
    stride = np.linalg.norm(lab[32:] - lab[:-32], axis=1)
    assert stride.max() < 1.15 * stride.min()
    assert (np.diff(lab[::8, 0]) > 0).all()


@pytest.mark.parametrize("name", ANCHORS)
def test_the_ends_are_the_anchors(name: str) -> None:
    first, *_, last = ANCHORS[name].split()
    assert bytes(table(name)[0]).hex() == first
    assert bytes(table(name)[-1]).hex() == last


def test_oklab_there_and_back_and_against_known_values() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (500, 3), dtype=np.uint8)
    assert np.abs(from_oklab(to_oklab(rgb)).astype(int) - rgb).max() <= 1
    # White is L = 1 without chroma; red as published by Ottosson.
    assert to_oklab(np.array([255, 255, 255], dtype=np.uint8)) == pytest.approx([1, 0, 0], abs=1e-3)
    assert to_oklab(np.array([255, 0, 0], dtype=np.uint8)) == pytest.approx([0.628, 0.225, 0.126], abs=1e-3)


def test_values_out_of_range_and_nan_are_clipped() -> None:
    made = colour(np.array([-1.0, 0.0, np.nan, 1.0, 7.0]))
    assert (made[[0, 1, 2]] == table()[0]).all()
    assert (made[[3, 4]] == table()[-1]).all()


def test_hot_is_yellow() -> None:
    hue, _, _ = colorsys.rgb_to_hsv(*(table()[230] / 255))
    assert 0.08 < hue < 0.2
