"""Maps of models with query tokens: every place that draws or judges a map takes it through the Q-Former."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.analyses import run_analysis
from flowtui.engine.queries import query_map
from flowtui.engine.results import LayerResult, Prepared, Projection, Run
from flowtui.engine.spec import AttentionParameters, RunSpec, parameters_to_plain
from flowtui.tui.cli.models import describe, show_report
from flowtui.tui.draw.fields import heat_field, make_canvas
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.facts import Facts, Gap, Heat
from flowtui.tui.explorer.gridview import GridPanel
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.masks import find_cells, judge, mask_of_box
from flowtui.tui.overlay import cell_field
from flowtui.tui.summary import grid_heat, peak_cell, summarise
from tests.engine.families.fixed import QUERIES
from tests.engine.families.test_fixed_grids import load, png_of, prepare_with
from tests.factories import projected_run, random_run

WEIGHTS = np.array([[0.75, 0.0, 0.25, 0.0], [0.0, 0.0, 0.0, 0.75]], dtype=np.float32)
VALUES = np.array([4.0, 8.0])
EXPECTED = np.array([[3.0, 0.0], [1.0, 6.0]])
SIZE = (150, 70)


def two_by_two() -> Run:
    """Two query tokens over four cells that cover all but the right third of the image."""
    run = projected_run(queries=2, grid=(2, 2))
    projection = Projection(WEIGHTS, 2, 2, (0.0, 0.0, 64.0, 96.0))
    return replace(run, tokens=replace(run.tokens, projections=(projection,)))


def test_every_view_of_a_map_is_the_projected_one() -> None:
    run = two_by_two()
    (grid,) = grid_heat(run, VALUES)
    np.testing.assert_array_equal(grid, EXPECTED)
    assert peak_cell(run, VALUES) == (0, 1, 1)
    field = cell_field(run.tokens, VALUES, 0, (96, 96))
    np.testing.assert_array_equal(field[:, :64], np.kron(EXPECTED, np.ones((48, 32))))
    assert np.isnan(field[:, 64:]).all()
    canvas = make_canvas([Image.new("RGB", (96, 96))], [(96, 96)], (3, 2), (0, 0, 0))
    field = heat_field(canvas, run.tokens, VALUES)
    np.testing.assert_array_equal(field, np.hstack([EXPECTED, np.full((2, 1), np.nan)]))


def test_maps_are_judged_on_the_projected_grid() -> None:
    run = two_by_two()
    cells = find_cells(run.tokens, mask_of_box(run, (32, 48, 64, 96)))
    assert judge(run.tokens, cells, VALUES) == (True, 0.6)
    cells = find_cells(run.tokens, mask_of_box(run, (0, 0, 32, 96)))
    assert judge(run.tokens, cells, VALUES) == (False, 0.4)


def test_the_summary_says_how_the_tokens_come_to_a_grid() -> None:
    run = two_by_two()
    content = summarise(run)
    assert content["cam"]["grid"] == [2, 2]
    (found,) = content["tokens"]["projections"]
    assert found == {"through": "Q-Former", "rows": 2, "cols": 2, "box_px": [0, 0, 64, 96]}
    one = summarise(run, 1)
    (found,) = one["tokens"]["projections"]
    heat = run.analyses["cam"].layers[1].arrays["heat"][0]
    np.testing.assert_array_equal(np.tensordot(heat.astype(float), found["weights"], 1), one["cam"]["heat"][0])
    assert summarise(replace(run, tokens=replace(run.tokens, projections=())))["tokens"]["projections"] == []


def test_the_explorer_has_a_map_and_says_through_what() -> None:
    run = two_by_two()
    facts = Facts(run)
    heat = facts.heat("cam", 1, None)
    assert isinstance(heat, Heat)
    values = run.analyses["cam"].layers[1].arrays["heat"][0]
    (grid,) = grid_heat(run, values)
    assert grid is not None
    assert heat.values == pytest.approx(values / grid.max())
    assert facts.through[0] == " through the Q-Former"
    without = Facts(replace(run, tokens=replace(run.tokens, projections=())))
    assert isinstance(without.heat("cam", 1, None), Gap)
    assert without.through == ("",)


@pytest.mark.parametrize(("size", "said"), [((200, 60), "through the Q-Former"), ((60, 30), "Q-Former")])
async def test_the_maps_headings_say_it(size: tuple[int, int], said: str) -> None:
    app = ExplorerApp(two_by_two())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        heading = app.query_one("#map", Panel)._lines[0].text
        assert said in heading
        assert "all" in heading
        await pilot.press("v")
        await pilot.pause()
        assert said in app.query_one(GridPanel)._lines[0].text


async def test_other_headings_do_not() -> None:
    app = ExplorerApp(replace(two_by_two(), tokens=random_run(grid=(1, 2)).tokens))
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        assert "Q-Former" not in app.query_one("#map", Panel)._lines[0].text


def test_models_names_the_projected_grid() -> None:
    run = two_by_two()
    prepared = Prepared(run.model, run.tokens, run.answer, run.image_sizes)
    report = describe(prepared, {"load": 1.0, "prepare": 1.0})
    assert (report["grids"], report["through"]) == ([[2, 2]], "Q-Former")
    assert "on a grid of 2 x 2 through the Q-Former" in show_report(report)


@pytest.mark.parametrize("name", ["instructblip", "blip-2"])
def test_a_model_s_attention_becomes_heat_where_its_queries_look(name: str) -> None:
    """From a picture to a field over it: each query's attention, times where the Q-Former says that it looks."""
    loaded = load(name)
    inputs = prepare_with(loaded, png_of(SIZE))
    spec = RunSpec("tiny", (png_of(SIZE),), "What?")
    run = Run.from_prepared(spec, inputs.prepared)
    found: list[LayerResult] = []
    run_analysis(loaded, inputs, AttentionParameters(), [1], found.append, lambda *_: None, lambda: False)
    run = Run.from_plain(run.with_layer(parameters_to_plain(AttentionParameters()), found[0]).to_plain())
    rows = run.analyses["attention"].layers[1].arrays["image_rows"]
    assert rows.shape[1] == QUERIES
    looks = query_map(loaded, inputs.model_inputs, SIZE)
    expected = sum(float(share) * looks.weights[i] for i, share in enumerate(rows.mean(0)))
    heat = Facts(run).heat("attention", 1, None)
    assert isinstance(heat, Heat)
    canvas = make_canvas([Image.new("RGB", SIZE)], [SIZE], (8, 8), (0, 0, 0))
    field = heat_field(canvas, run.tokens, heat.values)
    # Sums of a few float32 numbers in another order.
    assert field == pytest.approx(expected / np.max(expected), rel=1e-5)
    assert field.min() < 0.99 * field.max()
