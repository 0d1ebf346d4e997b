from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from flowtui.engine.shapes import EDGES
from flowtui.tui.charts import Chart, ticks, to_image, to_svg

SVG = "{http://www.w3.org/2000/svg}"


def curves(svg: str, width: str = "2") -> list[list[tuple[float, float]]]:
    lines = [e for e in ET.fromstring(svg).iter(f"{SVG}polyline") if e.get("stroke-width") == width]
    return [[tuple(map(float, p.split(","))) for p in e.get("points", "").split()] for e in lines]  # type: ignore[misc]


def test_points_lie_at_their_values() -> None:
    curve, legend = curves(to_svg(Chart("t", "layer", "share", {"image": [0.0, 0.5, 1.0]})))
    assert len(legend) == 2
    (x0, y0), (x1, y1), (x2, y2) = curve
    # Equal steps on both axes; coordinates are written with one decimal.
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2


def test_a_missing_value_leaves_a_gap() -> None:
    *pieces, _legend = curves(to_svg(Chart("t", "x", "y", {"a": [1.0, 2.0, None, 4.0]})))
    assert [len(piece) for piece in pieces] == [2, 2]


def test_nothing_to_draw_still_draws_axes() -> None:
    assert "<text" in to_svg(Chart("t", "x", "y", {"a": [None, None]}))
    assert "<text" in to_svg(Chart("t", "x", "y", {}))


def test_the_longest_names_fit() -> None:
    names = {name: [0.0, 1.0] for name in (*EDGES, "random order")}
    picture = np.asarray(to_image(Chart("t", "x", "y", names)))
    # Nothing touches the edge, where a longer text would be cut.
    assert (picture[:, -4:] == 255).all()
    assert (picture[:, -40:] != 255).any()


def test_text_from_a_model_stays_text() -> None:
    svg = to_svg(Chart('<script>"&\x1b', "x", "y", {"</svg>": [1.0]}, mark=0, mark_label="<b>"))
    texts = [e.text for e in ET.fromstring(svg).iter(f"{SVG}text")]
    assert {'<script>"&␛', "</svg>", "<b>"} <= set(texts)


@pytest.mark.parametrize("span", [(0, 1), (-9, 0), (0, 0), (0, 0.037), (-3, 12345), (0, 1e-9)])
def test_ticks_cover_the_values_in_round_steps(span: tuple[float, float]) -> None:
    made = ticks(*span)
    assert made[0] <= span[0]
    assert made[-1] >= span[1]
    assert 2 <= len(made) <= 8
    step = f"{made[1] - made[0]:.3e}"
    assert step[0] in "125"


def test_png_shows_the_curve_in_its_colour() -> None:
    image = to_image(Chart("t", "x", "y", {"a": [0.0, 1.0]}), scale=1)
    assert image.size == (760, 420)
    colours = {colour for _, colour in image.getcolors(100_000) or []}
    assert (0x00, 0x72, 0xB2) in colours
