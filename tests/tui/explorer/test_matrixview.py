from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import GROUPS, LayerResult, Run
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.matrixfacts import matrix_facts
from flowtui.tui.explorer.matrixview import MatrixPanel, scaled
from tests.factories import random_run
from tests.tui.explorer.screens import SIZES, fills_every_size, frame_of, opened, shown, without

RUN = random_run()
AT = Look(view="matrix")


def with_share(run: Run, layer: int, share: np.ndarray) -> Run:
    analysis = run.analyses["matrix"]
    arrays = {**analysis.layers[layer].arrays, "share": share.astype(np.float32)}
    made = LayerResult("matrix", layer, arrays)
    return run.with_analysis(replace(analysis, layers={**analysis.layers, layer: made}))


async def test_keys() -> None:
    ranked = matrix_facts(Facts(RUN)).ranked()
    async with opened(RUN, replace(AT, layer=ranked[0])) as (app, pilot):
        await pilot.press("t")
        assert app.look.linear
        await pilot.press("s")
        assert app.look.layer == ranked[1]
        await pilot.press("t", "enter")
        assert app.look == Look(layer=ranked[1])
        await pilot.press("6")
        assert app.look.view == "matrix"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("graphics", [None, Ascii()])
async def test_names_numbers_and_legend_at_every_size(size: tuple[int, int], graphics: Ascii | None) -> None:
    text = await shown(RUN, replace(AT, layer=4), size=size, graphics=graphics)
    found = matrix_facts(Facts(RUN)).at(4)
    assert "layer 4/11" in text
    assert "log scale" in text
    rows = text.splitlines()
    for name in GROUPS:
        assert any(row.startswith(name) for row in rows)
        assert name[:4] in rows[-2]
    assert "≤0.01 %" in rows[-1]
    assert "100 % " in rows[-1]
    assert "of a row's attention" in rows[-1]
    for value in found.blocks[found.blocks > 0]:
        assert (f"{100 * value:.1f}" if size[0] >= 80 else f"{100 * value:.0f}") in text
    assert "…" not in text


async def test_the_linear_scale_says_its_largest_value() -> None:
    text = await shown(RUN, AT, "t")
    assert "linear scale" in text
    assert text.splitlines()[-1].startswith("0 ")
    assert "100 %" in text.splitlines()[-1]


async def test_what_is_missing_and_what_has_no_attention() -> None:
    assert "matrix: 1 of 12 layers missing. Press r to compute it." in await shown(without(RUN, "matrix", 0), AT)
    assert "No attention matrix yet. Press r to compute it." in await shown(random_run(analyses=("cam",)), AT)
    size = len(RUN.analyses["matrix"].layers[0].arrays["edges"]) - 1
    assert "This layer has no attention" in await shown(with_share(RUN, 0, np.zeros((size, size))), AT)


def test_every_size_is_filled() -> None:
    looks = [AT, replace(AT, linear=True)]
    for run in (RUN, random_run(analyses=()), random_run(answer=()), random_run(layers=1, grid=(1, 1))):
        fills_every_size(MatrixPanel(), run, *looks)


def test_a_diagonal_is_drawn_on_the_diagonal() -> None:
    run = RUN
    size = len(run.analyses["matrix"].layers[0].arrays["edges"]) - 1
    run = with_share(run, 0, np.eye(size))
    rows = [strip.text[7:] for strip in MatrixPanel().draw(frame_of(run, AT, Ascii()), 200, 51)[1:-2]]
    hot = [(y, row[:100].index("@")) for y, row in enumerate(rows) if "@" in row[:100]]
    assert [x for _, x in hot] == sorted(x for _, x in hot)
    assert rows[0].startswith("@")
    # Nothing looks ahead or back: no other cell of a row is drawn.
    assert all(set(row[: row.index("@")]) <= {" ", "│"} for row in rows if "@" in row)


def test_scales_by_hand() -> None:
    values = np.array([0, 1e-5, 1e-4, 1e-2, 0.1, 1.0])
    assert scaled(values, 1.0, linear=False) == pytest.approx([0, 0, 0, 0.5, 0.75, 1])
    assert scaled(values, 0.5, linear=True) == pytest.approx(values * 2)
    assert not scaled(np.zeros(3), 0.0, linear=True).any()


def test_a_drawn_layer_is_kept() -> None:
    panel, frame = MatrixPanel(), frame_of(RUN, AT)
    first = panel.draw(frame, 118, 31)
    panel.draw(replace(frame, look=replace(AT, layer=1)), 118, 31)
    assert len(panel._kept) == 2
    assert panel.draw(frame, 118, 31)[5] == first[5]
    assert len(panel._kept) == 2
