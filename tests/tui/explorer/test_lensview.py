import json
from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import LayerResult, Run, Span
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.lensfacts import LensFacts
from tests.factories import projected_run, random_run

from .viewing import see, text_of

WIDE = (120, 40)
RUN = random_run()


def lens_run(layers: int = 4) -> Run:
    """A lens by hand: the answer "red" is fourth, then second, then first; patches say sky, a red thing and grass."""
    run = random_run(layers=layers, grid=(3, 4), answer=("red", " thing"), analyses=())
    texts = {1: " sky", 2: "grass", 3: "red", 4: "blue", 5: "\x1b[2J", 6: ""}
    run = replace(run, answer=replace(run.answer, ids=(3, 4)))
    for layer in range(layers):
        place = max(0, 3 - 2 * layer)
        first = [4, 5, 6, 3] if place == 3 else [4, 3, 5, 6] if place else [3, 4, 5, 6]
        arrays = {
            "ids": np.array([first, [4, 3, 5, 6]], dtype=np.int32),
            "probs": np.array([[0.5, 0.25, 0.125, 0.0625]] * 2, dtype=np.float32),
            "rank": np.array([place, 0], dtype=np.int32),
            "prob": np.array([0.5**(place + 1), 0.5], dtype=np.float32),
            "image_ids": np.array([1, 1, 1, 1, 1, 3, 3, 1, 2, 2, 2, 6], dtype=np.int32),
            "image_probs": np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.99, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0], dtype=np.float32),
        }  # fmt: skip
        run = run.with_layer({}, LayerResult("lens", layer, arrays, json.dumps({str(i): t for i, t in texts.items()})))
    return run


HAND = lens_run()


def without_patches(run: Run) -> Run:
    lens = run.analyses["lens"]
    layers = {
        k: replace(r, arrays={n: a for n, a in r.arrays.items() if not n.startswith("image")})
        for k, r in lens.layers.items()
    }
    return run.with_analysis(replace(lens, layers=layers))


def test_words_and_places_of_the_answer() -> None:
    numbers = LensFacts(HAND)
    assert numbers.rank[:, 0].tolist() == [3, 1, 0, 0]
    assert [(w.text, w.prob, w.answer) for w in numbers.top(1, 0)] == [
        ("blue", 0.5, False), ("red", 0.25, True), ("␛[2J", 0.125, False), ("⟨6⟩", 0.0625, False),
    ]  # fmt: skip
    assert numbers.settled(0) == 2
    assert numbers.settled(1) == 0
    assert not LensFacts(random_run(analyses=())).there


def test_an_answer_that_is_not_first_in_the_end_never_settles() -> None:
    last = HAND.analyses["lens"].layers[3]
    arrays = {**last.arrays, "rank": np.array([1, 0], dtype=np.int32)}
    assert LensFacts(HAND.with_layer({}, replace(last, arrays=arrays))).settled(0) is None
    part = HAND.with_analysis(replace(HAND.analyses["lens"], layers={0: HAND.analyses["lens"].layers[0]}))
    numbers = LensFacts(part)
    assert numbers.settled(1) is None
    assert numbers.top(2, 0) == ()
    assert numbers.patches(2) is None


def test_words_of_the_image() -> None:
    patches = LensFacts(HAND).patches(0)
    assert patches is not None
    assert patches.words[:2] == ("␣sky", "␣sky")
    assert patches.words[11] == "⟨6⟩"
    assert patches.counts == (("␣sky", 6), ("grass", 3), ("red", 2), ("⟨6⟩", 1))
    assert np.flatnonzero(patches.answer).tolist() == [5, 6]
    assert LensFacts(without_patches(HAND)).patches(0) is None


def test_grids_of_image_tokens() -> None:
    indices, name = LensFacts(HAND).grid_at(5, 8)
    assert indices.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert name == ""
    start = HAND.tokens.spans[0].start
    spans = (
        Span(0, start, start + 4, 2, 2, 2, (0.0, 0.0, 48.0, 96.0)),
        Span(0, start + 4, start + 10, 2, 2, 3, (48.0, 0.0, 96.0, 96.0)),
    )
    tiles = LensFacts(replace(HAND, tokens=replace(HAND.tokens, spans=spans)))
    indices, name = tiles.grid_at(5, 8)
    assert indices.tolist() == [[4, 5], [7, 8]]
    assert name == "grid 1 of 2"
    indices, name = tiles.grid_at(11, 8)
    assert indices.tolist() == [[10, 11]]
    assert name == "tokens without a grid"
    indices, _ = LensFacts(projected_run(queries=5)).grid_at(0, 3)
    assert indices.tolist() == [[0, 1, 2], [3, 4, -1]]


async def test_the_table_and_the_current_cell() -> None:
    app = ExplorerApp(HAND)
    shown = await see(app, "lens", "right_square_bracket", size=WIDE)
    rows = [line for line in shown.splitlines() if line[:6].strip(" ◆").isdigit()]
    assert [row[:23].split()[1:] for row in rows] == [
        ["▸blue", "#4"], ["▄blue", "#2"], ["▄red"], ["▄red"]
    ]  # fmt: skip
    assert "thing" in shown.splitlines()[1]
    right = " ".join(shown.split())
    assert "Layer 0, token 0" in right
    assert "1 blue 50.0 %" in right
    assert "3 ⟨6⟩ 12.5 %" in right
    assert "4 red 6.2 %" in right
    assert "“red” stays first from layer 2 on." in right
    assert "≤ 50.0 %" in right


async def test_an_answer_token_below_the_top_stands_with_its_place() -> None:
    base = HAND.analyses["lens"].layers[0]
    arrays = {
        **base.arrays,
        "rank": np.array([41, 0], dtype=np.int32),
        "prob": np.array([0.001, 0.5], dtype=np.float32),
    }
    arrays["ids"] = np.array([[4, 5, 6, 1], [4, 3, 5, 6]], dtype=np.int32)
    run = HAND.with_layer({}, replace(base, arrays=arrays))
    shown = " ".join((await see(ExplorerApp(run), "lens", "right_square_bracket", size=WIDE)).split())
    assert "#42" in shown
    assert "42 red 0.1 %" in shown


async def test_all_tokens_together() -> None:
    shown = " ".join((await see(ExplorerApp(HAND), "lens", "l", size=WIDE)).split())
    assert "Layer 1 ─" in shown
    assert "1 red 25.0 % #2" in shown
    assert "2 thing 50.0 % #1" in shown


async def test_keys_of_the_table() -> None:
    for keys, layer in (("j", 1), ("j j k", 1), ("J", 3), ("J K", 0), ("s", 2), ("right_square_bracket s", 2),
                        ("left_square_bracket s", 0)):  # fmt: skip
        app = ExplorerApp(HAND)
        await see(app, "lens", *keys.split(), size=WIDE)
        assert app.look.layer == layer, keys
    app = ExplorerApp(HAND)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("8", "j", "enter")
        assert (app.look.view, app.look.layer, app.look.cell) == ("main", 1, None)


async def test_the_words_of_the_image_and_their_keys() -> None:
    app = ExplorerApp(HAND)
    shown = await see(app, "lens", "t", "j", "J", size=WIDE)
    assert app.look.patch == 5
    assert "[red" in shown
    flat = " ".join(shown.replace("\u00a0", " ").split())
    assert "row 1 col 1" in flat
    assert "“red”, probability 99.0 %; at 2 of 12 image tokens." in flat
    assert "1 ␣sky 6 █" in flat
    assert "2 grass 3 " in flat
    assert "90 %" in flat
    for keys, patch in (("j k", 0), ("k", None), ("J J", 8), ("J J J", 8), ("s", 5), ("s s", 0), ("s K", 1)):
        app = ExplorerApp(HAND)
        await see(app, "lens", "t", *keys.split(), size=WIDE)
        assert app.look.patch == patch, keys
        assert app.look.layer == 0
    app = ExplorerApp(HAND)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("8", "t", "s", "enter")
        assert (app.look.view, app.look.cell) == ("main", 5)
        await pilot.press("8", "t")
        assert not app.look.patches


async def test_clicks() -> None:
    app = ExplorerApp(HAND)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("8")
        await pilot.pause()
        lines = text_of(app, "view-lens").splitlines()
        row = next(i for i, text in enumerate(lines) if text[:6].strip() == "2")
        await pilot.click("#view-lens", offset=(1 + lines[1].index("thing"), row))
        await pilot.pause()
        assert (app.look.layer, app.look.token) == (2, 1)
        await pilot.click("#view-lens", offset=(3, row + 3))
        await pilot.pause()
        assert (app.look.layer, app.look.token) == (3, 1)
        await pilot.press("t")
        await pilot.pause()
        lines = text_of(app, "view-lens").splitlines()
        row = next(i for i, text in enumerate(lines) if text.startswith("grass"))
        await pilot.click("#view-lens", offset=(2, row))
        await pilot.pause()
        assert app.look.patch == 8
        await pilot.click("#view-lens", offset=(100, 3))
        assert app.look.patch == 8


@pytest.mark.parametrize(
    ("run", "keys", "says"),
    [
        (random_run(analyses=()), "", "No logit lens yet. Press r to compute it."),
        (without_patches(RUN), "t", "did not look at the image tokens"),
        (random_run(answer=()), "", "The answer is empty"),
        (HAND.with_analysis(replace(HAND.analyses["lens"], layers={1: HAND.analyses["lens"].layers[1]})), "t",
         "logit lens: 3 of 4 layers missing. Press r"),
        (HAND.with_analysis(replace(HAND.analyses["lens"], layers={1: HAND.analyses["lens"].layers[1]})),
         "right_square_bracket", "not computed yet. Press r."),
    ],
)  # fmt: skip
async def test_what_is_missing_is_said(run: Run, keys: str, says: str) -> None:
    assert says in " ".join((await see(ExplorerApp(run), "lens", *keys.split(), size=WIDE)).split())


async def test_nothing_in_a_word_steers_the_terminal() -> None:
    shown = await see(ExplorerApp(HAND), "lens", "right_square_bracket", size=WIDE)
    assert "\x1b" not in shown
    assert "␛[2J" in shown


async def test_query_tokens_have_words_too() -> None:
    shown = await see(ExplorerApp(projected_run()), "lens", "t", "j", size=WIDE)
    assert "Image words" in shown
    assert "[" in shown


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize(("layers", "grid"), [(1, (1, 1)), (12, (12, 12)), (96, (24, 24))])
async def test_legends_and_units_at_every_size(size: tuple[int, int], layers: int, grid: tuple[int, int]) -> None:
    run = random_run(layers=layers, grid=grid, cliff=None, analyses=("lens",), answer=tuple("abcdefghijkl"))
    for graphics in (None, Ascii()):
        table = await see(ExplorerApp(run, graphics=graphics), "lens", "G", "right_square_bracket", size=size)
        assert "the answer's token" in table
        assert " %" in table
        assert f"\n{layers - 1:>4}" in table
        patches = await see(ExplorerApp(run, graphics=graphics), "lens", "t", "j", size=size)
        assert "shade: probability" in patches
        assert "Most frequent" in patches
        assert " words" in patches
