from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import LayerResult
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.truncationview import TruncationPanel
from tests.factories import random_run
from tests.tui.explorer.screens import SIZES, fills_every_size, frame_of, opened, shown, text_of, without

RUN = random_run()
AT = Look(view="truncation")


async def test_k_goes_down_to_the_untouched_model_and_back() -> None:
    async with opened(RUN, replace(AT, layer=10)) as (app, pilot):
        await pilot.press("j")
        assert (app.look.layer, app.look.untouched) == (11, False)
        assert "K 11/12" in text_of(app, "truncation")
        await pilot.press("j")
        assert (app.look.layer, app.look.untouched) == (11, True)
        text = text_of(app, "truncation")
        assert "K 12/12" in text
        assert "every layer sees the image" in text
        (row,) = [row[55:].split() for row in text.splitlines() if "▸" in row]
        assert row[:2] == ["▸", "12"]
        assert row[-4:] == ["untouched:", "a", "red", "circle"]
        await pilot.press("j")
        assert app.look.untouched
        await pilot.press("k")
        assert (app.look.layer, app.look.untouched) == (11, False)
        await pilot.press("j", "h")
        assert (app.look.layer, app.look.untouched) == (10, False)
        await pilot.press("K")
        assert app.look.layer == 0
        await pilot.press("k", "J", "J", "c")
        assert (app.look.layer, app.look.untouched) == (7, False)


async def test_other_keys() -> None:
    async with opened(RUN, replace(AT, layer=11)) as (app, pilot):
        large = text_of(app, "truncation").index("log p of its answer")
        await pilot.press("t")
        assert app.look.logprob
        assert text_of(app, "truncation").index("log p of its answer") < large
        await pilot.press("s")
        assert app.look.layer == 7
        await pilot.press("right_square_bracket")
        text = text_of(app, "truncation")
        assert "token 0" in text
        assert "−0.10" in text
        await pilot.press("enter")
        assert app.look.view == "main"
        await pilot.press("7")
        assert app.look.view == "truncation"


@pytest.mark.parametrize("size", SIZES)
async def test_it_says_everything_at_every_size(size: tuple[int, int]) -> None:
    text = await shown(RUN, replace(AT, layer=5), size=size)
    assert "cliff K 7" in text
    assert "KL ≤ 0.05 nats" in text or "at or below 0.05 nats" in " ".join(text.split())
    assert "KL from the untouched model" in text
    assert ("log p of its answer" in text) == (size[1] > 20)
    assert "same" in text
    (row,) = [row[row.index("▸") :].split() for row in text.splitlines() if "▸" in row]
    assert row == ["▸", "5", "1.583", "−9.00", "○", "a", "blue", "ring"]
    assert "…" not in text
    if size[0] > 60:
        assert "K 5: layers 0–4 see the image" in text
        assert "◆" in text


@pytest.mark.parametrize("size", SIZES)
async def test_small_screens_show_the_chosen_plot(size: tuple[int, int]) -> None:
    text = await shown(RUN, replace(AT, logprob=True), size=size)
    assert "log p of its answer" in text


async def test_gaps() -> None:
    assert "No truncation curve yet. Press r to compute it." in await shown(random_run(analyses=()), AT)
    text = await shown(without(RUN, "truncation", 3), AT, "j", "j", "j")
    assert "K 3: not computed yet. Press r." in text
    assert "not computed" in text
    assert "12/13 K there" in text


async def test_no_cliff() -> None:
    assert "no cliff" in await shown(random_run(cliff=None), AT)


def test_every_size_is_filled() -> None:
    looks = [AT, replace(AT, logprob=True), replace(AT, untouched=True, layer=0), replace(AT, token=0)]
    for run in (RUN, random_run(layers=96, heads=1), random_run(layers=1, cliff=None), random_run(analyses=())):
        fills_every_size(TruncationPanel(), run, *looks)
    fills_every_size(TruncationPanel(), random_run(answer=()), AT)


def test_probabilities_of_exactly_one_do_not_break_the_scale() -> None:
    run = RUN
    for k, result in RUN.analyses["truncation"].layers.items():
        arrays = {**result.arrays, "logprob": np.zeros(3, np.float32), "kl": np.zeros(3, np.float32)}
        run = run.with_layer(RUN.analyses["truncation"].parameters, LayerResult("truncation", k, arrays, "a"))
    fills_every_size(TruncationPanel(), run, AT)


async def test_without_colour() -> None:
    text = await shown(RUN, replace(AT, layer=5), graphics=Ascii())
    assert "▸" in text
    assert "◆" in text


def test_a_step_plots_nothing_anew() -> None:
    panel, frame = TruncationPanel(), frame_of(RUN, AT)
    panel.draw(frame, 118, 31)
    kept = {name: canvas for name, (_, canvas) in panel._kept.items()}
    panel.draw(replace(frame, look=replace(AT, layer=5)), 118, 31)
    assert set(kept) == {"kl", "logprob"}
    assert all(panel._kept[name][1] is canvas for name, canvas in kept.items())


@pytest.mark.parametrize("text", ["\x1b]52;c;ZXZpbA==\x07", "two\nlines\x00", "left\u202eright", "[bold red]x[/]"])
async def test_answers_are_shown_and_not_obeyed(text: str) -> None:
    truncation = RUN.analyses["truncation"]
    run = RUN.with_analysis(
        replace(truncation, layers={k: replace(v, text=text) for k, v in truncation.layers.items()})
    )
    found = await shown(run, replace(AT, layer=3))
    assert found.replace("\n", "").isprintable()
    assert ("[bold red]x[/]" in found) == text.startswith("[")
