from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.results import Span
from flowtui.tui.draw.colours import table
from flowtui.tui.draw.fields import Canvas, blend, fit_cells, heat_field, make_canvas
from tests.factories import random_run


def canvas(width: int, height: int, sizes: tuple[tuple[int, int], ...] = ((96, 96),)) -> Canvas:
    photos = [Image.new("RGB", size, (10 * i, 100, 200)) for i, size in enumerate(sizes)]
    return make_canvas(photos, sizes, (width, height), (0, 0, 0))


@pytest.mark.parametrize("ratio", [0.2, 1.0, 1.5, 6.0])
def test_cells_fit_and_keep_the_shape(ratio: float) -> None:
    for width, height in product([1, 7, 30, 120], [1, 5, 40]):
        wide, high = fit_cells(ratio, width, height)
        assert 1 <= wide <= width
        assert 1 <= high <= height
        if min(wide, high) >= 20:
            assert wide / (2 * high) == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("grid", [(1, 1), (3, 5), (12, 12), (24, 24)])
def test_a_field_covers_the_image_and_stays_within_its_values(grid: tuple[int, int]) -> None:
    for size in [(1, 2), (7, 4), (12, 12), (60, 60)]:
        run = random_run(layers=2, cliff=1, grid=grid)
        values = np.random.default_rng(0).random(grid[0] * grid[1]).astype(np.float32)
        field = heat_field(canvas(*size), run.tokens, values)
        assert field.shape == (size[1], size[0])
        assert np.isfinite(field).all()
        assert values.min() - 1e-6 <= field.min() <= field.max() <= values.max() + 1e-6


def test_a_field_at_grid_resolution_is_the_grid() -> None:
    run = random_run(layers=2, cliff=1)
    values = np.arange(144, dtype=np.float32)
    assert (heat_field(canvas(12, 12), run.tokens, values) == values.reshape(12, 12)).all()


def test_the_hottest_patch_lies_where_its_pixels_are() -> None:
    run = random_run(layers=2, cliff=1)
    values = np.zeros(144, dtype=np.float32)
    values[3 * 12 + 9] = 1
    field = heat_field(canvas(60, 60), run.tokens, values)
    row, col = np.unravel_index(field.argmax(), field.shape)
    assert (row // 5, col // 5) == (3, 9)


def test_a_crop_leaves_the_rest_without_heat() -> None:
    run = random_run(layers=2, cliff=1)
    tokens = replace(run.tokens, spans=(replace(run.tokens.spans[0], box_px=(24.0, 0.0, 72.0, 96.0)),))
    field = heat_field(canvas(8, 8), tokens, np.ones(144, dtype=np.float32))
    assert np.isfinite(field[:, 2:6]).all()
    assert np.isnan(field[:, [0, 1, 6, 7]]).all()


def test_overlapping_grids_are_averaged_and_each_image_gets_its_own() -> None:
    run = random_run(layers=2, cliff=1)
    start = run.tokens.spans[0].start
    spans = (
        Span(0, start, start + 4, 2, 2, 2, (0.0, 0.0, 96.0, 96.0)),
        Span(0, start + 4, start + 8, 2, 2, 2, (0.0, 0.0, 96.0, 96.0)),
        Span(1, start + 8, start + 12, 2, 2, 2, (0.0, 0.0, 96.0, 96.0)),
    )
    values = np.zeros(144, dtype=np.float32)
    values[:4], values[4:8], values[8:12] = 1, 3, 7
    # 2 x 32 pixels of image and a gap of 2 between them.
    made = canvas(66, 32, ((96, 96), (96, 96)))
    field = heat_field(made, replace(run.tokens, spans=spans), values)
    assert (field[:, :32] == 2).all()
    assert np.isnan(field[:, 32:34]).all()
    assert (field[:, 34:] == 7).all()


@pytest.mark.parametrize(
    "box", [(0.0, 0.0, 0.0, 0.0), (-50.0, 500.0, 9e9, 1e300), (float("nan"), 0.0, float("inf"), 5.0)]
)
def test_a_senseless_box_is_kept_inside(box: tuple[float, float, float, float]) -> None:
    run = random_run(layers=2, cliff=1)
    tokens = replace(run.tokens, spans=(replace(run.tokens.spans[0], box_px=box),))
    assert heat_field(canvas(9, 8), tokens, np.ones(144, dtype=np.float32)).shape == (8, 9)


def test_blending_ends_in_the_photo_and_in_the_colour_map() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    field = np.linspace(0, 1, 16).reshape(4, 4)
    assert (blend(photo, field, 0) == photo).all()
    assert (blend(photo, None, 0.75) == photo).all()
    assert (blend(photo, field, 1) == table()[np.rint(field * 255).astype(int)]).all()
    half = blend(photo, np.where(field > 0.5, field, np.nan), 0.75)
    assert half.shape == photo.shape
