from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import Analysis, LayerResult, Run, Span
from flowtui.errors import UsageError
from flowtui.tui.masks import Mask, find_cells, judge, judge_run, mask_of_box, mask_of_pixels
from flowtui.tui.summary import summarise
from tests.factories import png, random_run

FINE = 24
"""Points a side that the oracle looks at in each pixel: edges at eighths and thirds of a pixel fall between them."""


def with_spans(spans: tuple[Span, ...], size: tuple[int, int] = (8, 8), images: int = 1) -> Run:
    """A run whose image tokens are just those of the spans."""
    count = max(span.end for span in spans)
    run = random_run(grid=(1, count), analyses=())
    spans = tuple(replace(span, start=span.start + 14, end=span.end + 14) for span in spans)
    run = replace(run, spec=replace(run.spec, images=(png(*size),) * images), image_sizes=(size,) * images)
    return replace(run, tokens=replace(run.tokens, spans=spans))


def square(box_px: tuple[float, float, float, float], image: int = 0, start: int = 0) -> Span:
    return Span(image, start, start + 4, 2, 2, 2, box_px)


def test_a_hand_worked_two_by_two() -> None:
    # Four cells of 4 x 4 pixels; the object is the left half of the upper left cell and half a pixel row's worth of the
    # upper right one: 8 of 16 pixels, 4 of 16.
    run = with_spans((square((0, 0, 8, 8)),))
    inside = np.zeros((8, 8), dtype=bool)
    inside[0:4, 0:2] = True
    inside[3, 4:8] = True
    (cells,) = find_cells(run.tokens, mask_of_pixels(run, inside))
    np.testing.assert_array_equal(cells.inside, [[0.5, 0.25], [0, 0]])
    # The centres are the corners at (2, 2), (6, 2), (2, 6), (6, 6): the pixel that begins there is looked at.
    np.testing.assert_array_equal(cells.hit, [[False, False], [False, False]])
    inside[2, 2] = True
    (cells,) = find_cells(run.tokens, mask_of_pixels(run, inside))
    np.testing.assert_array_equal(cells.hit, [[True, False], [False, False]])
    # 9/16 of 4, 4/16 of 2, nothing of 2: 2.75 of 8.
    assert judge(run.tokens, [cells], np.array([4.0, 2.0, 0.0, 2.0])) == (True, 2.75 / 8)
    assert judge(run.tokens, [cells], np.array([1.0, 2.0, 0.0, 0.0])) == (False, (9 / 16 + 0.5) / 3)


def test_a_map_of_zeros_says_nothing() -> None:
    run = with_spans((square((0, 0, 8, 8)),))
    cells = find_cells(run.tokens, mask_of_box(run, (0, 0, 4, 4)))
    assert judge(run.tokens, cells, np.zeros(4)) == (None, None)


def test_of_equal_cells_the_first_is_the_peak() -> None:
    run = with_spans((square((0, 0, 8, 8)),))
    for box, hit in (((0, 0, 4, 4), True), ((4, 0, 8, 4), False)):
        assert judge(run.tokens, find_cells(run.tokens, mask_of_box(run, box)), np.ones(4)) == (hit, 0.25)


def by_points(inside: np.ndarray, span: Span) -> tuple[np.ndarray, np.ndarray]:
    """The oracle: every cell's points on a fine lattice, one at a time; the second array is what is on the image."""
    height, width = inside.shape
    left, top, right, bottom = span.box_px
    found, there = np.zeros((span.rows, span.cols)), np.zeros((span.rows, span.cols))
    for y in range(height * FINE):
        for x in range(width * FINE):
            row = ((y + 0.5) / FINE - top) / (bottom - top) * span.rows
            col = ((x + 0.5) / FINE - left) / (right - left) * span.cols
            if 0 <= row < span.rows and 0 <= col < span.cols:
                there[int(row), int(col)] += 1
                found[int(row), int(col)] += inside[y // FINE, x // FINE]
    return found, there


@pytest.mark.parametrize(
    "box_px",
    [
        (0.0, 0.0, 12.0, 10.0),
        (1.5, 2.25, 10.5, 8.25),
        # Beyond the image on every side: the outer cells are cut, some lie beside it altogether.
        (-9.0, -6.0, 18.0, 15.0),
        (6.0, 4.0, 30.0, 22.0),
    ],
)
def test_parts_inside_are_those_of_a_lattice_of_points(box_px: tuple[float, float, float, float]) -> None:
    span = Span(0, 0, 12, 3, 4, 4, box_px)
    run = with_spans((span,), size=(12, 10))
    inside = np.random.default_rng(0).random((10, 12)) < 0.4
    (cells,) = find_cells(run.tokens, mask_of_pixels(run, inside))
    found, there = by_points(inside, span)
    # Edges at a third of a pixel are rounded, in float64.
    np.testing.assert_allclose(cells.inside, found / np.maximum(there, 1), rtol=1e-12, atol=1e-12)
    assert not cells.hit[there == 0].any()
    assert (there > 0).any()


def test_a_cell_cut_by_the_images_edge_is_judged_by_what_is_left() -> None:
    # The right cells reach from 4 to 12 on an image of 8: what is left of them has its centre at 6.
    run = with_spans((square((-4, 0, 12, 8)),))
    (cells,) = find_cells(run.tokens, mask_of_box(run, (6, 0, 8, 8)))
    np.testing.assert_array_equal(cells.inside, [[0, 0.5], [0, 0.5]])
    np.testing.assert_array_equal(cells.hit, [[False, True], [False, True]])


def test_all_tiles_of_the_image_count_and_no_others() -> None:
    spans = (
        square((0, 0, 8, 8)),
        square((0, 0, 4, 8), start=4),
        square((4, 0, 8, 8), start=8),
        square((0, 0, 8, 8), image=1, start=12),
    )
    run = with_spans(spans, images=2)
    mask = mask_of_box(run, (0, 0, 4, 4))
    cells = find_cells(run.tokens, mask)
    assert [some.span.image for some in cells] == [0, 0, 0]
    values = np.zeros(16)
    values[[0, 3]] = 1.0  # whole view: one cell inside, one outside
    values[4] = 2.0  # left tile, upper left
    values[11] = 4.0  # right tile, lower right
    values[12] = 100.0  # the other image, which no mask of this one can judge
    assert judge(run.tokens, cells, values) == (False, 3 / 8)
    other = find_cells(run.tokens, mask_of_box(run, (0, 0, 4, 4), image=1))
    assert judge(run.tokens, other, values) == (True, 1.0)


def test_separators_are_no_cells() -> None:
    run = with_spans((Span(0, 0, 6, 2, 2, 3, (0, 0, 8, 8)),))
    cells = find_cells(run.tokens, mask_of_box(run, (0, 0, 8, 4)))
    assert judge(run.tokens, cells, np.array([1.0, 0, 9, 3, 0, 9])) == (False, 0.25)


def test_without_a_grid_nothing_is_judged() -> None:
    run = with_spans((Span(0, 0, 6, 0, 0, 0, (0, 0, 8, 8)),))
    cells = find_cells(run.tokens, mask_of_box(run, (0, 0, 8, 4)))
    assert judge(run.tokens, cells, np.ones(6)) == (None, None)


def test_hostile_rectangles_do_not_matter() -> None:
    boxes = ((-1e308, -1e308, 1e308, 1e308), (5, 5, 5, 5), (8, 8, 0, 0), (1e300, 0, 1e301, 8))
    for box in boxes:
        run = with_spans((square(box),))
        cells = find_cells(run.tokens, mask_of_box(run, (0, 0, 8, 4)))
        hit, mass = judge(run.tokens, cells, np.ones(4))
        assert hit in (True, False, None)
        assert mass is None or 0 <= mass <= 1


def test_the_summary_judges_every_map_that_is_there() -> None:
    run = random_run(layers=4)
    mask = mask_of_box(run, (0, 0, 48, 96))
    content = summarise(run, mask=mask)
    assert content["mask"] == {"image": 0, "share": 0.5}
    for name in ("cam", "attention"):
        for layer, result in run.analyses[name].layers.items():
            rows = result.arrays["heat"][0] if name == "cam" else result.arrays["image_rows"].mean(axis=0)
            grid = rows.reshape(12, 12).astype(np.float64)
            if name == "cam" and layer == 3:
                assert content[name]["pointing"][layer] is content[name]["mass_in_box"][layer] is None
            else:
                assert content[name]["pointing"][layer] is bool(grid.argmax() % 12 < 6)
                assert content[name]["mass_in_box"][layer] == pytest.approx(grid[:, :6].sum() / grid.sum())
    assert "pointing" not in summarise(run)["cam"]
    one = summarise(run, 2, mask)
    assert one["cam"]["mass_in_box"] == [content["cam"]["mass_in_box"][2]]
    assert one["attention"]["pointing"] == [content["attention"]["pointing"][2]]


def test_saliency_is_the_mean_over_answer_tokens() -> None:
    run = random_run(grid=(2, 2), analyses=())
    rows = np.array([[1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    arrays = {"image_rows": rows, "flow": np.zeros((4, 4), dtype=np.float32)}
    run = run.with_analysis(Analysis("saliency", {}, {5: LayerResult("saliency", 5, arrays)}))
    judged = judge_run(run, mask_of_box(run, (48, 0, 96, 48)))
    assert judged["saliency"]["pointing"] == [None] * 5 + [True] + [None] * 6
    assert judged["saliency"]["mass_in_box"][5] == 0.75
    assert judged.keys() == {"saliency"}


def test_missing_layers_are_null() -> None:
    run = random_run(layers=3)
    cam = run.analyses["cam"]
    run = run.with_analysis(replace(cam, layers={1: cam.layers[1]}))
    judged = judge_run(run, Mask(0, np.ones((96, 96), dtype=bool)))["cam"]
    assert judged["pointing"] == [None, True, None]
    assert judged["mass_in_box"] == [None, pytest.approx(1), None]


@pytest.mark.parametrize(
    "box", [(0, 0, 97, 96), (0, 0, 96, 97), (-1, 0, 5, 5), (0, -1, 5, 5), (5, 0, 5, 5), (9, 0, 5, 5), (0, 7, 5, 5)]
)
def test_a_box_that_does_not_fit_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="does not fit image 1: it is 96 x 96"):
        mask_of_box(random_run(analyses=()), box)


def test_a_mask_of_another_size_or_of_nothing_is_refused() -> None:
    run = with_spans((square((0, 0, 8, 6)),), size=(8, 6))
    with pytest.raises(UsageError, match="6 x 8 pixels, image 1 is 8 x 6"):
        mask_of_pixels(run, np.ones((8, 6), dtype=bool))
    with pytest.raises(UsageError, match="marks no object"):
        mask_of_pixels(run, np.zeros((6, 8), dtype=bool))


@pytest.mark.parametrize("image", [-1, 1])
def test_an_image_that_is_not_there_is_refused(image: int) -> None:
    run = random_run(analyses=())
    with pytest.raises(UsageError, match=rf"no image {image + 1}. The run has one image"):
        mask_of_box(run, (0, 0, 5, 5), image)
    with pytest.raises(UsageError, match="images 1 to 2"):
        mask_of_box(with_spans((square((0, 0, 8, 8)),), images=2), (0, 0, 5, 5), 2)
