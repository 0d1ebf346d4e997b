from dataclasses import replace

import pytest

from flowtui.tui.draw.graphics import Ascii, HalfBlock
from flowtui.tui.explorer.comparefacts import likeness, sides
from flowtui.tui.explorer.compareview import ComparePanel, numbers
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.painter import Painter
from tests.factories import random_run
from tests.tui.explorer.screens import SIZES, fills_every_size, frame_of, opened, shown, text_of, without

RUN = random_run()
AT = Look(view="compare")


async def test_a_pin_stays_while_the_layer_moves_and_goes_when_pressed_again() -> None:
    async with opened(RUN, replace(AT, layer=3)) as (app, pilot):
        await pilot.press("x", "l", "l")
        assert (app.look.pinned, app.look.layer) == (3, 5)
        assert "LLaVA-CAM, layers 3 and 5 of 11" in text_of(app, "compare")
        assert "pinned" in text_of(app, "compare").splitlines()[1]
        await pilot.press("j")
        assert app.look.pinned == 4
        await pilot.press("k", "k", "k", "k", "k", "k")
        assert app.look.pinned == 0
        await pilot.press("x")
        assert app.look.pinned == 5
        await pilot.press("x")
        assert app.look.pinned is None
        assert "two maps of layer 5/11" in text_of(app, "compare")


async def test_bound_layers_keep_their_distance_and_stop_at_the_ends() -> None:
    async with opened(RUN, replace(AT, layer=5, pinned=2)) as (app, pilot):
        await pilot.press("B", "l")
        assert (app.look.pinned, app.look.layer) == (3, 6)
        assert "bound" in text_of(app, "compare")
        await pilot.press("g")
        assert (app.look.pinned, app.look.layer) == (0, 3)
        await pilot.press("h")
        assert (app.look.pinned, app.look.layer) == (0, 3)
        await pilot.press("G")
        assert (app.look.pinned, app.look.layer) == (8, 11)
        app.play_on()
        assert (app.look.pinned, app.look.layer) == (0, 3)
        app.look_at(replace(app.look, layer=3, pinned=6))
        await pilot.press("G")
        assert (app.look.pinned, app.look.layer) == (11, 8)
        app.play_on()
        assert (app.look.pinned, app.look.layer) == (3, 0)
        # Elsewhere a layer is a layer.
        await pilot.press("1", "G")
        assert (app.look.pinned, app.look.layer) == (3, 11)
        await pilot.press("9", "B", "h")
        assert (app.look.pinned, app.look.layer) == (3, 10)


async def test_two_maps_of_one_layer() -> None:
    async with opened(RUN, AT) as (app, pilot):
        assert text_of(app, "compare").splitlines()[1].split()[:2] == ["LLaVA-CAM", "Attention"]
        await pilot.press("t")
        assert text_of(app, "compare").splitlines()[1].split()[:2] == ["LLaVA-CAM", "Saliency"]
        await pilot.press("m", "l")
        assert text_of(app, "compare").splitlines()[1].split()[:2] == ["Attention", "Saliency"]
        assert "two maps of layer 1/11" in text_of(app, "compare")
        await pilot.press("right_square_bracket")
        assert "token 0" in text_of(app, "compare")
        await pilot.press("x")
        assert "layers 1 and 1 of 11" in text_of(app, "compare")
        await pilot.press("t")
        assert app.look.against == "cam"
        await pilot.press("enter")
        assert (app.look.view, app.look.layer) == ("main", 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("graphics", [None, Ascii()])
async def test_numbers_legends_and_signs_at_every_size(size: tuple[int, int], graphics: Ascii | None) -> None:
    look = replace(AT, layer=5, pinned=2)
    found = likeness(*sides(Facts(RUN), Painter(RUN, HalfBlock()), look))
    assert found is not None
    text = await shown(RUN, look, size=size, graphics=graphics)
    assert f"overlap {100 * found.overlap:.0f} %" in text
    assert f"{found.rank:+.2f}".replace("-", "−") in text
    assert f"±{found.high:.2f}" in text
    assert "ight − left" in text
    assert text.count("1.") >= 1
    assert "…" not in text
    if graphics is not None:
        assert "≡" in text
        assert "#" in text


async def test_gaps_and_zeros_are_said() -> None:
    text = await shown(without(RUN, "cam", 2), replace(AT, layer=5, pinned=2))
    assert "LLaVA-CAM layer 2: CAM: 1 of 12 layers missing. Press r" in text
    assert "needs both maps" in text
    assert "no map here" in text
    text = await shown(RUN, replace(AT, layer=11, pinned=2))
    assert "LLaVA-CAM layer 11: Exactly zero" in text
    assert "Spearman) not defined" in text
    text = await shown(random_run(analyses=()), AT)
    assert "No CAM yet" in text
    assert "No attention yet" in text


def test_every_size_is_filled() -> None:
    looks = [AT, replace(AT, layer=0, pinned=0), replace(AT, opacity=0), replace(AT, opacity=100, token=0)]
    for run in (RUN, random_run(layers=96, heads=1), random_run(layers=1), random_run(analyses=())):
        fills_every_size(ComparePanel(), run, *looks)
    fills_every_size(ComparePanel(), random_run(answer=()), AT)


def test_the_side_with_more_has_its_own_glyphs() -> None:
    run = random_run(grid=(2, 2), layers=2)
    cam = run.analyses["cam"]
    for layer, hot in ((0, [1, 0, 0, 0]), (1, [0, 0, 0, 1])):
        cam.layers[layer].arrays["heat"][0] = hot
    frame = frame_of(run, replace(AT, layer=1, pinned=0), Ascii())
    rows = [strip.text[-24:] for strip in ComparePanel().draw(frame, 78, 17)]
    assert "≡" in rows[2][:6]
    assert "#" in rows[12][12:]
    assert "#" not in "".join(rows[2:6])


def test_what_was_compared_is_kept() -> None:
    panel, frame = ComparePanel(), frame_of(RUN, AT)
    first = panel._likeness(*sides(frame.facts, frame.painter, AT))
    assert panel._likeness(*sides(frame.facts, frame.painter, AT)) is first
    left = sides(frame.facts, frame.painter, AT)
    strips = [frame.painter.difference(left[0].heat, left[1].heat, 75, (20, 10), (0, 0, 0)) for _ in range(2)]
    assert strips[0] is strips[1]


def test_numbers_in_words() -> None:
    found = likeness(*sides(Facts(RUN), Painter(RUN, HalfBlock()), replace(AT, layer=11, pinned=2)))
    assert found is not None
    assert numbers(found)[0] == "Rank correlation (Spearman) not defined · overlap not defined"
