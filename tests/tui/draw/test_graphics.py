from itertools import product

import numpy as np
import pytest

from flowtui.errors import UsageError
from flowtui.tui.draw.character import RAMP, glyphs, readable
from flowtui.tui.draw.graphics import GRAPHICS, Ascii, Picture, choose, make_graphics
from flowtui.tui.draw.halfblock import half_blocks
from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.legend import legend
from flowtui.tui.draw.probe import Answers

BLACK = (0, 0, 0)
SILENT = Answers(asked=True)


@pytest.mark.parametrize("name", GRAPHICS)
def test_every_renderer_fills_exactly_its_cells(name: str) -> None:
    for size, heat, opacity in product([(1, 1), (3, 2), (40, 11)], ["none", "zero", "random", "nan"], [0.0, 0.5, 1.0]):
        graphics = GRAPHICS[name]()
        width, height = size[0] * graphics.cell_px[0], size[1] * graphics.cell_px[1]
        rng = np.random.default_rng(0)
        rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        fields = {"none": None, "zero": np.zeros((height, width)), "random": rng.random((height, width))}
        fields["nan"] = np.full((height, width), np.nan)
        strips = graphics.draw(Picture(rgb, fields[heat], opacity, BLACK))
        assert len(strips) == size[1]
        assert all(strip.cell_length == len(strip.text) == size[0] for strip in strips)


def test_half_blocks_hold_the_two_pixels_of_each_cell() -> None:
    rgb = np.array([[[252, 0, 0], [0, 252, 0]], [[0, 0, 252], [8, 16, 32]]], dtype=np.uint8)
    (strip,) = half_blocks(rgb)
    colours = [(s.text, s.style.color, s.style.bgcolor) for s in strip if s.style is not None]
    cells = [(text, front and front.triplet, back and back.triplet) for text, front, back in colours]
    assert cells == [("▀", (252, 0, 0), (0, 0, 252)), ("▀", (0, 252, 0), (8, 16, 32))]
    with pytest.raises(ValueError, match="even"):
        half_blocks(rgb[:1])


def test_equal_neighbours_share_a_segment() -> None:
    assert len(list(half_blocks(np.zeros((2, 50, 3), dtype=np.uint8))[0])) == 1


def test_glyphs_alone_tell_hot_from_cold() -> None:
    assert glyphs(np.array([np.linspace(0, 1, len(RAMP))])) == [RAMP]
    assert glyphs(np.array([[0.0, 0.03, np.nan, 2.0]])) == [" . @"]
    rgb = np.zeros((1, 4, 3), dtype=np.uint8)
    (strip,) = Ascii().draw(Picture(rgb, np.array([[0.0, 0.3, 0.6, 1.0]]), 0.75, BLACK))
    assert strip.text == " -+@".replace("+", RAMP[5])


@pytest.mark.parametrize("ground", [(18, 18, 18), (224, 224, 224)])
def test_glyph_colours_stand_off_the_ground(ground: tuple[int, int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (100, 3), dtype=np.uint8)
    light = readable(rgb, ground) @ np.array([0.299, 0.587, 0.114])
    # One brightness step is lost to rounding down in each channel.
    assert (np.abs(light - ground[0]) >= 88).all()


def test_the_choice_of_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowtui.tui.draw.graphics.measure_cell", lambda: None)

    def chosen(asked: str, environ: dict[str, str], answers: Answers = SILENT) -> str:
        return make_graphics(choose(asked, "it", environ, lambda: answers)).name

    assert chosen("auto", {"TERM": "xterm-256color"}) == "halfblock"
    assert chosen("auto", {"NO_COLOR": ""}) == "ascii"
    assert chosen("auto", {"TERM": "dumb"}) == "ascii"
    assert chosen("halfblock", {"NO_COLOR": "1"}) == "halfblock"
    assert chosen("auto", {}, Answers(kitty=True, sixel=True)) == "kitty"
    assert chosen("auto", {}, Answers(sixel=True, cell_px=(9, 15))) == "sixel"
    # Of a size that nobody knows a sixel picture would lie beside its place.
    assert chosen("auto", {}, Answers(sixel=True)) == "halfblock"
    assert chosen("sixel", {}) == "sixel"
    with pytest.raises(UsageError, match="no graphics mode 'smoke'"):
        chosen("smoke", {})


def test_a_renderer_knows_the_size_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowtui.tui.draw.graphics.measure_cell", lambda: None)
    assert make_graphics(choose("auto", "it", {}, lambda: Answers(sixel=True, cell_px=(9, 15)))).screen_px == (9, 15)
    assert make_graphics(choose("sixel", "it", {})).screen_px == (10, 20)
    monkeypatch.setattr("flowtui.tui.draw.graphics.measure_cell", lambda: (7, 14))
    assert make_graphics(choose("kitty", "it", {}, lambda: Answers(cell_px=(9, 15)))).screen_px == (7, 14)


@pytest.mark.parametrize("width", range(10, 120, 11))
def test_the_legend_shows_its_values_and_the_first_note_that_fits(width: int) -> None:
    for plain in [False, True]:
        made = legend(DARK, width, "1.33", notes=("peak row 3 col 4", "peak 3,4"), plain=plain)
        assert made.cell_length == width
        if width >= 20:
            assert made.text.startswith("0 ")
            assert "1.33" in made.text
        assert ("peak" in made.text) == (width >= 27)
