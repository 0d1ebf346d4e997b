"""The compare view with two open runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.engine.results import Run
from flowtui.tui.draw.graphics import Ascii, HalfBlock
from flowtui.tui.draw.ink import DARK
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.comparefacts import likeness, run_sides, same_depth
from flowtui.tui.explorer.compareview import ComparePanel
from flowtui.tui.explorer.facts import Facts, Gap
from flowtui.tui.explorer.frame import Frame, Other
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.painter import Painter
from flowtui.tui.explorer.session import Session
from tests.factories import png, random_run
from tests.tui.explorer.screens import SIZES, text_of

ONE = random_run()
SAME = replace(random_run(seed=1, answer=("no",)), spec=replace(ONE.spec, question="Is it blue?"))
DEEP = random_run(layers=32, heads=2, seed=2, cliff=18)
WIDE = replace(random_run(grid=(6, 4), seed=3), image_sizes=((64, 96),))
AT = Look(view="compare")


@asynccontextmanager
async def opened(look: Look, *others: Run, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple]:  # type: ignore[type-arg]
    app = ExplorerApp(ONE, path=Path("one.pkl"))
    app.sessions += [Session(run, Path(f"o{i}.pkl"), Look(), app._graphics) for i, run in enumerate(others, 2)]
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.look_at(look)
        await pilot.pause()
        yield app, pilot


def frame_with(other: Run, look: Look) -> Frame:
    there = Other(2, "other.pkl", Facts(other), Painter(other, HalfBlock()))
    return Frame(Facts(ONE), look, DARK, Painter(ONE, HalfBlock()), "", (), others=(there,))


async def test_the_other_run_comes_after_the_other_maps_and_scrubs_along() -> None:
    async with opened(AT, SAME) as (app, pilot):
        seen = []
        for _ in range(4):
            seen.append(text_of(app, "compare").splitlines()[0].split("─")[0].removeprefix("Compare").strip())
            await pilot.press("t")
        assert seen == ["two maps of layer 0/11", "two maps of layer 0/11", "LLaVA-CAM, runs 2 and 1", seen[0]]
        await pilot.press("t", "l", "l", "l", "m")
        text = text_of(app, "compare")
        assert "Attention, runs 2 and 1" in text
        assert "same layer of both" in text
        assert text.splitlines()[1].split()[:8] == ["run", "2,", "layer", "3/11", "run", "1,", "layer", "3/11"]
        assert "run 2  demo: Is it blue? → no" in text
        assert "run 1  demo: What do you see in the image? → a red circle" in text
        frame = frame_with(SAME, replace(AT, layer=3, kind="attention", beside=0))
        found = likeness(*run_sides(frame, frame.others[0]))
        assert found is not None
        assert f"overlap {100 * found.overlap:.0f} %" in text  # type: ignore[operator]


async def test_pinned_layer_maps_and_runs_take_turns() -> None:
    async with opened(replace(AT, layer=4, pinned=1), SAME, DEEP) as (app, pilot):
        seen = []
        for _ in range(4):
            await pilot.press("t")
            seen.append((app.look.against, app.look.beside))
        assert seen == [("attention", None), ("saliency", None), (None, 0), (None, None)]
        assert app.look.pinned == 1
        await pilot.press("t", "t", "t", "j")
        assert app.look.beside == 1
        assert "runs 3 and 1" in text_of(app, "compare")
        await pilot.press("j")
        assert app.look.beside == 0
        await pilot.press("k", "x")
        # A new pin is what is compared with.
        assert (app.look.beside, app.look.pinned) == (None, 4)
        # The other run goes: what is left is shown.
        await pilot.press("t", "t", "t", "j")
        del app.sessions[1:]
        app.look_at(replace(app.look, layer=5))
        await pilot.pause()
        assert "layers 4 and 5 of 11" in text_of(app, "compare")


@pytest.mark.parametrize("size", SIZES)
async def test_other_depths_go_by_the_same_relative_depth_and_say_so(size: tuple[int, int]) -> None:
    async with opened(replace(AT, beside=0), DEEP, size=size) as (app, pilot):
        assert "relative depth" in text_of(app, "compare")
        assert "layer 0/31" in text_of(app, "compare")
        await pilot.press("G")
        assert "layer 31/31" in text_of(app, "compare")
        await pilot.press("h", "h", "h")
        assert "layer 23/31" in text_of(app, "compare")
        assert "layer 8/11" in text_of(app, "compare")


def test_depths() -> None:
    assert [same_depth(i, 12, 12) for i in range(12)] == list(range(12))
    assert [same_depth(i, 3, 5) for i in range(3)] == [0, 2, 4]
    assert [same_depth(i, 32, 1) for i in (0, 31)] == [0, 0]
    assert same_depth(0, 1, 12) == 0


async def test_what_cannot_be_compared_is_said() -> None:
    async with opened(replace(AT, beside=0), WIDE) as (app, _):
        assert "the grids differ" in text_of(app, "compare")
    other = replace(SAME, spec=replace(SAME.spec, images=(png(seed=9),)))
    async with opened(replace(AT, beside=0), other) as (app, _):
        assert "The images differ" in text_of(app, "compare")
    left, _ = run_sides(frame_with(SAME, replace(AT, token=2)), frame_with(SAME, AT).others[0])
    assert isinstance(left.heat, Gap)
    assert "only 1 token" in left.heat.note
    left, _ = run_sides(frame_with(DEEP, replace(AT, kind="attention", head=3)), frame_with(DEEP, AT).others[0])
    assert isinstance(left.heat, Gap)
    assert "only 2 heads" in left.heat.note


@pytest.mark.parametrize("text", ["\x1b]52;c;x\x07", "two\nlines", "left\u202eright"])
async def test_nothing_of_the_other_run_steers_the_terminal(text: str) -> None:
    spec, model, answer = SAME.spec, SAME.model, SAME.answer
    other = replace(
        SAME, spec=replace(spec, question=text), model=replace(model, name=text), answer=replace(answer, text=text)
    )
    async with opened(replace(AT, beside=0), other) as (app, _):
        for strip in app.screen._compositor.render_strips():
            assert strip.text.isprintable(), ascii(strip.text)


@pytest.mark.parametrize("other", [SAME, DEEP, WIDE, random_run(analyses=()), random_run(layers=1)])
@pytest.mark.parametrize("graphics", [HalfBlock(), Ascii()])
def test_every_size_is_filled(other: Run, graphics: HalfBlock | Ascii) -> None:
    there = Other(2, "other.pkl", Facts(other), Painter(other, graphics))
    frame = Frame(Facts(ONE), replace(AT, beside=0, layer=5), DARK, Painter(ONE, graphics), "", (), others=(there,))
    for width, height in [(1, 1), (18, 3), (38, 5), (58, 13), (78, 17), (118, 31), (198, 51)]:
        made = ComparePanel().draw(frame, width, height)
        assert {strip.cell_length for strip in made} == {width}
        assert len(made) <= height or height < 6
