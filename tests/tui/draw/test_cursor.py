import numpy as np
import pytest
from rich.segment import Segment
from textual.strip import Strip

from flowtui.tui.draw.cursor import Box, bracketed, framed
from flowtui.tui.draw.graphics import Ascii, HalfBlock, Picture

BACK = (18, 18, 18)


@pytest.mark.parametrize("thick", [1, 3])
def test_the_frame_lies_around_the_box_and_stands_out(thick: int) -> None:
    rgb = np.full((40, 50, 3), 120, dtype=np.uint8)
    rgb[:, 25:] = 140
    made = framed(rgb, (20, 10, 30, 18), thick)
    assert (made[10:18, 20:30] == rgb[10:18, 20:30]).all(), "the cell itself is seen"
    around = made[10 - thick : 18 + thick, 20 - thick : 30 + thick]
    assert set(np.unique(around)) == {0, 120, 140, 255}
    changed = (made != rgb).any(axis=2)
    assert changed.sum() == (8 + 2 * thick) * (10 + 2 * thick) - 80
    if thick == 1:
        assert (made[9, 20:25] == 255).all()
        assert (made[9, 25:30] == 0).all()
    assert (rgb[9, 20:25] == 120).all(), "the picture that was given stays as it is"


@pytest.mark.parametrize("box", [(0, 0, 4, 4), (46, 36, 50, 40), (0, 0, 50, 40), (0, 0, 1, 1)])
@pytest.mark.parametrize("thick", [1, 3])
def test_at_the_edge_it_stays_inside(box: Box, thick: int) -> None:
    rgb = np.zeros((40, 50, 3), dtype=np.uint8)
    made = framed(rgb, box, thick)
    assert made.shape == rgb.shape
    assert (made == 255).any()


def test_brackets_stand_beside_the_box() -> None:
    strips = [Strip([Segment("." * 10)], 10) for _ in range(3)]
    assert [s.text for s in bracketed(strips, (4, 1, 6, 2), BACK)] == ["..........", "...[..]...", ".........."]
    assert bracketed(strips, (0, 0, 2, 1), BACK)[0].text == "[.]......."
    assert bracketed(strips, (9, 2, 10, 3), BACK)[2].text == "........[]"
    assert all(s.cell_length == 10 for s in bracketed(strips, (0, 0, 10, 3), BACK))


def test_renderers_mark_a_cell() -> None:
    rgb = np.full((12, 20, 3), 90, dtype=np.uint8)
    plain, marked = (
        HalfBlock().draw(Picture(rgb, None, 0.0, BACK, mark=mark)) for mark in (None, (5, 4, 8, 8))
    )  # fmt: skip
    assert plain != marked
    field = np.full((6, 20), 0.5)
    (line, *_) = Ascii().draw(Picture(rgb[:6], field, 1.0, BACK, mark=(5, 0, 8, 1)))
    assert line.text[4] == "["
    assert line.text[8] == "]"
