"""Signs and sizes in colour and without."""

import numpy as np
import pytest

from flowtui.tui.draw.colours import to_oklab
from flowtui.tui.draw.difference import LESS, MORE, blend_signed, diverging, signed_glyphs, signed_legend
from flowtui.tui.draw.graphics import Ascii, HalfBlock, Picture
from flowtui.tui.draw.ink import DARK, LIGHT


def test_blue_is_less_orange_is_more_and_none_is_grey() -> None:
    less, none, more = diverging(np.array([-1.0, 0.0, 1.0])).astype(int)
    assert less[2] > less[0] + 100
    assert more[0] > more[2] + 100
    assert np.ptp(none) <= 3
    assert (diverging(np.array([np.nan, -7.0, 7.0])) == [none, less, more]).all()


def test_both_ways_it_gets_lighter_by_even_steps() -> None:
    light = to_oklab(diverging(np.linspace(0, 1, 9)))[:, 0], to_oklab(diverging(np.linspace(0, -1, 9)))[:, 0]
    for way in light:
        assert (np.diff(way) > 0.03).all()
        assert np.diff(way) == pytest.approx(np.diff(way).mean(), abs=0.01)


def test_glyphs_have_a_sign_and_a_size() -> None:
    values = np.array([[-1.0, -0.5, -0.1, -0.05, 0.0, 0.05, 0.1, 0.5, 1.0, np.nan]])
    assert signed_glyphs(values) == [LESS[::-1] + "   " + MORE + " "]
    assert not set(LESS) & set(MORE)


def test_little_difference_lets_the_photo_show() -> None:
    rgb = np.full((2, 2, 3), (200, 40, 40), dtype=np.uint8)
    made = blend_signed(rgb, np.array([[0.0, 1.0], [-1.0, np.nan]]), 0.75).astype(int)
    assert np.ptp(made[0, 0]) < np.ptp(made[0, 1])
    assert made[0, 1, 0] > made[0, 1, 2]
    assert made[1, 0, 2] > made[1, 0, 0]
    assert np.ptp(made[1, 1]) == 0
    assert (blend_signed(rgb, np.ones((2, 2)), 0) == rgb).all()
    assert (blend_signed(rgb, np.ones((2, 2)), 1.0) == diverging(np.ones(1))[0]).all()


def test_the_renderers_draw_signs() -> None:
    rgb = np.full((4, 6, 3), 120, dtype=np.uint8)
    field = np.repeat(np.array([[-1.0, -1, -1, 1, 1, 1]]), 4, axis=0)
    texts = [strip.text for strip in Ascii().draw(Picture(rgb, field, 0.75, (18, 18, 18), signed=True))]
    assert texts == ["≡≡≡###"] * 4
    strips = HalfBlock().draw(Picture(rgb, field, 0.75, (18, 18, 18), signed=True))
    left, right = (segment.style.color.get_truecolor() for segment in strips[0])
    assert left.blue > left.red
    assert right.red > right.blue


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width", [18, 24, 38, 64])
def test_the_legend_has_both_signs_and_the_size(width: int, plain: bool) -> None:
    for ink in (DARK, LIGHT):
        strip = signed_legend(ink, width, "0.83", names=("layer 3", "layer 9"), plain=plain)
        assert strip.cell_length == width
        assert {"−", "+"} <= set(strip.text)
        assert "±0.83" in strip.text
        assert ("layer 3 −" in strip.text) == ("layer 9" in strip.text) == (width >= 38)
        assert (LESS[::-1] + " " + MORE in strip.text) == plain
