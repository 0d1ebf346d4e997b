from dataclasses import replace

import pytest

from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.flowfacts import SOURCES, flow_facts
from flowtui.tui.explorer.flowview import FlowPanel, signed, whole_percent
from flowtui.tui.explorer.look import SCALES, Look
from tests.factories import random_run
from tests.tui.explorer.screens import SIZES, fills_every_size, frame_of, opened, shown, text_of, without

RUN = random_run()
AT = Look(view="flow")


async def test_keys() -> None:
    ranked = flow_facts(Facts(RUN)).ranked("absolute")
    async with opened(RUN, AT) as (app, pilot):
        await pilot.press("t")
        assert app.look.scale == "absolute"
        app.look_at(replace(app.look, layer=ranked[-1]))
        for layer in (*ranked[:5], ranked[0]):
            await pilot.press("s")
            assert app.look.layer == layer
        await pilot.press("t", "t", "l", "j")
        assert app.look.scale == "share"
        await pilot.press("enter")
        assert app.look.view == "main"
        await pilot.press("5")
        assert app.look.view == "flow"


@pytest.mark.parametrize("size", SIZES)
async def test_numbers_names_and_units_at_every_size(size: tuple[int, int]) -> None:
    flows = flow_facts(Facts(RUN))
    text = await shown(RUN, replace(AT, layer=4), size=size)
    assert "layer 4/11" in text
    for name, part in zip(SOURCES, flows.share[4], strict=True):
        assert name in text
        assert f"{100 * part:.0f} %" in text
    assert "= 100 %" in text
    for edge in ("image→answer", "image→user", "user→answer", "syst.→answer"):
        assert edge in text
    assert "nats" in text
    assert "…" not in text
    if size[0] >= 80:
        for value in flows.lost(None)[4]:
            assert f"{signed(value)} nats" in text


@pytest.mark.parametrize("size", SIZES)
async def test_every_scale_says_what_it_is(size: tuple[int, int]) -> None:
    flows = flow_facts(Facts(RUN))
    assert f"full height {flows.top:.2g}" in await shown(RUN, AT, "t", size=size)
    assert f"{flows.decades[0]:.1g} to {flows.decades[1]:.1g}" in await shown(RUN, AT, "t", "t", size=size)


async def test_the_token_drives_the_knockout() -> None:
    lost = flow_facts(Facts(RUN)).lost(1)[0]
    text = await shown(RUN, AT, "right_square_bracket", "right_square_bracket")
    assert "token 1" in text
    assert f"{signed(lost[0])} nats" in text


async def test_the_bands_stand_over_the_scrubbers_layers() -> None:
    run = random_run()
    flow = run.analyses["saliency"].layers[7].arrays["flow"]
    flow[3] = [0, 1, 0, 0]
    async with opened(run, replace(AT, scale="absolute"), (80, 24), graphics=Ascii()) as (app, pilot):
        del pilot
        rows = text_of(app, "flow").splitlines()
        # 13 cells of labels, five for each layer: only the seventh reaches the top.
        assert rows[1][13:].rstrip() == " " * 35 + "█" * 5


async def test_gaps() -> None:
    part = without(without(RUN, "saliency", 0), "knockout", 0)
    text = await shown(part, AT)
    assert "saliency: 1 of 12 layers missing. Press r" in text
    assert "knockout: 1 of 12 layers missing." in text
    assert "·" in text
    none = random_run(analyses=("attention",))
    text = await shown(none, AT)
    assert "No saliency yet. Press r to compute it." in text
    assert "No knockout yet." in text
    only = await shown(random_run(analyses=("knockout",)), AT)
    assert "No saliency yet." in only
    assert "image→answer" in only


def test_every_size_is_filled() -> None:
    looks = [replace(AT, scale=scale, token=token) for scale in SCALES for token in (None, 0)]
    for run in (RUN, random_run(layers=96, heads=1), random_run(layers=1), random_run(analyses=())):
        fills_every_size(FlowPanel(), run, *looks)
    fills_every_size(FlowPanel(), random_run(answer=()), AT)


async def test_without_colour_the_bands_differ_by_glyph() -> None:
    text = await shown(RUN, AT, graphics=Ascii())
    for glyph in "█▒░":
        assert glyph * 9 in text


def test_numbers_in_words() -> None:
    assert [signed(v) for v in (-4.853, 0.37, -0.001, float("nan"))] == ["−4.85", "+0.37", "0.00", "·"]
    assert [whole_percent(v) for v in (0, 1e-6, 0.31, 0.9999, 1)] == ["0 %", "<1 %", "31 %", ">99 %", "100 %"]


def test_a_step_draws_nothing_anew() -> None:
    panel, frame = FlowPanel(), frame_of(RUN, AT)
    panel.draw(frame, 118, 31)
    kept = {name: strips for name, (_, strips) in panel._kept.items()}
    panel.draw(replace(frame, look=replace(AT, layer=5)), 118, 31)
    assert all(panel._kept[name][1] is strips for name, strips in kept.items())
    assert set(kept) == {"bands", "bars"}
