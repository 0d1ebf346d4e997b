"""The grid of every layer's map: its scales, and the sharpest."""

from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import LayerResult
from flowtui.tui.draw.graphics import Ascii, HalfBlock
from flowtui.tui.explorer.facts import Facts, Gap, Heat
from flowtui.tui.explorer.gridview import GridPanel
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.painter import Painter
from tests.factories import projected_run, random_run
from tests.tui.explorer.screens import SIZES, fills_every_size, opened, shown, text_of

RUN = random_run()
AT = Look(view="grid")


def spread_run(*spreads: int) -> object:
    """A run whose layers' CAM is even over so many image tokens; 0: zero everywhere."""
    run = random_run(layers=len(spreads), grid=(4, 4))
    for layer, count in enumerate(spreads):
        heat = np.zeros((4, 16), np.float32)
        heat[:, :count] = layer + 1
        run = run.with_layer(run.analyses["cam"].parameters, LayerResult("cam", layer, {"heat": heat}))
    return run


def test_spread_is_the_number_of_tokens_that_share_the_heat() -> None:
    facts = Facts(spread_run(16, 3, 0, 1))
    assert [facts.spread(AT, layer) for layer in range(4)] == pytest.approx([16, 3, 0, 1])
    assert facts.sharpest(AT) == [3, 1, 0]
    assert Facts(random_run(analyses=())).sharpest(AT) == []


def test_one_scale_is_drawn_by_the_largest_value_of_all() -> None:
    run = spread_run(16, 16, 0, 16)
    facts, painter = Facts(run), Painter(run, HalfBlock())
    assert facts.common_top(AT) == 4
    for layer, part in ((0, 0.25), (1, 0.5), (3, 1.0)):
        own, common = facts.heat_of(AT, layer), facts.common_heat(AT, layer)
        assert isinstance(own, Heat)
        assert isinstance(common, Heat)
        # Other values to whoever knows a map by them, and always the same ones.
        assert common.values is not own.values
        assert facts.common_heat(AT, layer) is common
        canvas = painter.canvas((32, 32), (0, 0, 0))
        assert float(painter.field(canvas, own).max()) == pytest.approx(1)
        assert float(painter.field(canvas, common).max()) == pytest.approx(part)
    zero = facts.common_heat(AT, 2)
    assert isinstance(zero, Heat)
    assert not zero.peak
    assert isinstance(Facts(random_run(analyses=())).common_heat(AT, 0), Gap)


async def test_keys() -> None:
    run = spread_run(16, 3, 0, 1)
    async with opened(run, AT) as (app, pilot):
        await pilot.press("s")
        assert app.look.layer == 3
        await pilot.press("s")
        assert app.look.layer == 1
        text = text_of(app, "grid")
        assert "each map scaled to its own maximum" in text
        assert "≈16" in text
        assert "layer 1: 2" in text
        await pilot.press("n")
        assert app.look == replace(AT, layer=1, common=True)
        text = text_of(app, "grid")
        assert "one scale for all maps" in text
        assert text.splitlines()[-1].split()[-1] != "nothing"
        assert " 4 " in text.splitlines()[-1]
        await pilot.press("n")
        assert not app.look.common
        # Elsewhere the same key is about the shares.
        await pilot.press("1", "n")
        assert (app.look.common, app.look.norm) == (False, "paper")


async def test_opacity_in_the_grid() -> None:
    async with opened(RUN, AT) as (app, pilot):
        panel = app.screen_stack[0].query_one("#view-grid", GridPanel)
        seen = {app.look.opacity: [list(strip) for strip in panel._lines]}
        for _ in range(3):
            await pilot.press("o")
            await pilot.pause()
            seen[app.look.opacity] = [list(strip) for strip in panel._lines]
            assert ("photos alone (o)" in text_of(app, "grid")) == (app.look.opacity == 0)
        assert len(seen) == 4
        drawn = list(seen.values())
        assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i])


@pytest.mark.parametrize("size", SIZES)
async def test_legend_and_scale_are_there_at_every_size(size: tuple[int, int]) -> None:
    for look in (AT, replace(AT, common=True)):
        last = (await shown(RUN, look, size=size)).splitlines()[-1]
        assert last.startswith("0 ")
        assert "≈n" in last
        assert "…" not in last


@pytest.mark.parametrize("kind", ["cam", "attention", "saliency"])
def test_every_size_is_filled(kind: str) -> None:
    looks = [AT, replace(AT, common=True, kind=kind), replace(AT, opacity=0, layer=3), replace(AT, token=0, kind=kind)]
    for run in (
        RUN,
        random_run(layers=96, heads=1),
        random_run(layers=4, analyses=()),
        projected_run(),
        spread_run(0, 0),
    ):
        fills_every_size(
            GridPanel(), run, *[replace(look, layer=min(look.layer, run.model.layers - 1)) for look in looks]
        )


async def test_without_colour_and_without_maps() -> None:
    assert "@" in (await shown(RUN, AT, graphics=Ascii())).splitlines()[-1]
    assert "every map is zero" in await shown(spread_run(0, 0), AT)
    assert "no map here" in await shown(random_run(analyses=()), AT)
