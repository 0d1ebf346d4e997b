"""The cursor over the map."""

import re
from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.sequence import Span
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.facts import Facts, Heat
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.panel import Panel
from tests.factories import random_run

RUN = random_run()
GRID = 12


def text_of(app: ExplorerApp, panel: str) -> str:
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


def peak(look: Look, run=RUN) -> int:
    heat = Facts(run).heat_of(look)
    assert isinstance(heat, Heat)
    return int(np.argmax(heat.values))


async def test_it_begins_at_the_peak_and_says_what_is_there() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l", "l", "i")
        await pilot.pause()
        cell = app.look.cell
        assert cell == peak(Look(layer=2))
        said = text_of(app, "status")
        assert f"row {cell // GRID} col {cell % GRID} " in said
        assert "100 % of the maximum" in said
        raw = RUN.analyses["cam"].layers[2].arrays["heat"][0].max()
        assert f"{raw:.3g}, 100 %" in said
        assert f"token {RUN.tokens.image_positions[cell]} " in said
        assert f"{cell // GRID},{cell % GRID}: {raw:.3g}, 100 %" in text_of(app, "map")


async def test_the_numbers_are_those_of_the_cell() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("m", "i", "l", "j", "j", "h", "h", "k")
        await pilot.pause()
        start = peak(Look(kind="attention"))
        row, col = divmod(start, GRID)
        row = min(row + 2, GRID - 1) - 1
        col = max(min(col + 1, GRID - 1) - 2, 0)
        cell = row * GRID + col
        assert app.look.cell == cell
        assert app.look.layer == 0
        rows = RUN.analyses["attention"].layers[0].arrays["image_rows"].mean(axis=0)
        assert f"{100 * rows[cell]:.3g} %, {100 * rows[cell] / rows.max():.0f} % of" in text_of(app, "status")


@pytest.mark.parametrize(
    ("keys", "row", "col"), [("right", 0, 1), ("down", 1, 0), ("J", 10, 0), ("left", 0, 0), ("up", 0, 0)]
)
async def test_arrows_move_it_to_the_edge_and_no_further(keys: str, row: int, col: int) -> None:
    app = ExplorerApp(RUN)
    app.look = Look(cell=0)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(keys)
        assert app.look.cell == row * GRID + col


@pytest.mark.parametrize(("keys", "layer"), [("L", 10), ("G", 11), ("G H", 1), ("G g", 0), ("c", 7)])
async def test_layers_still_move_under_it(keys: str, layer: int) -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("i")
        cell = app.look.cell
        await pilot.press(*keys.split())
        assert (app.look.layer, app.look.cell) == (layer, cell)


@pytest.mark.parametrize("key", ["i", "escape"])
async def test_it_goes_and_arrows_are_layers_again(key: str) -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("i", key, "right")
        await pilot.pause()
        assert app.look.cell is None
        assert app.look.layer == 1
        assert "row" not in text_of(app, "status")


async def test_from_another_view_it_opens_the_main_one() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2", "l", "i")
        assert (app.look.view, app.look.cell) == ("main", peak(Look(layer=1)))
        # In other views the arrows are theirs.
        await pilot.press("2", "l")
        assert app.look.layer == 2


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
async def test_the_box_is_seen_at_every_size(size: tuple[int, int]) -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        before = list(app.query_one("#map", Panel)._lines)
        await pilot.press("i")
        await pilot.pause()
        after = app.query_one("#map", Panel)._lines
        # Half blocks that changed between heading and legend.
        changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b and "▀" in a.text]
        assert changed
        assert re.search(r"row \d+ col \d+|\d+,\d+ ", text_of(app, "status"))


async def test_brackets_show_it_without_colours() -> None:
    app = ExplorerApp(RUN, graphics=Ascii())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("i")
        await pilot.pause()
        lines = text_of(app, "map").splitlines()[1:-2]
        assert any(re.search(r"\[.+\]|\[\]", line) for line in lines)


async def test_it_crosses_from_one_grid_to_the_next() -> None:
    (whole,) = RUN.tokens.spans
    middle = whole.start + 72
    spans = (
        Span(0, whole.start, middle, 12, 6, 6, (0, 0, 48, 96)),
        Span(0, middle, whole.end, 12, 6, 6, (48, 0, 96, 96)),
    )
    run = replace(RUN, tokens=replace(RUN.tokens, spans=spans))
    app = ExplorerApp(run)
    app.look = Look(cell=5 + 6)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("right")
        await pilot.pause()
        assert app.look.cell == 72 + 6
        assert "row 1 col 0 of grid 1" in text_of(app, "status")
        await pilot.press("left")
        assert app.look.cell == 5 + 6


async def test_without_a_map_it_says_so() -> None:
    app = ExplorerApp(random_run(analyses=()))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("i")
        await pilot.pause()
        assert app.look.cell == 0
        assert "no map here" in text_of(app, "status")


async def test_what_the_lens_reads_there_is_said() -> None:
    lens = RUN.analyses["lens"].layers[3]
    app = ExplorerApp(RUN)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("l", "l", "l", "i")
        await pilot.pause()
        assert app.look.cell is not None
        prob = 100 * float(lens.arrays["image_probs"][app.look.cell])
        assert re.search(rf"lens “.+” {prob:.0f} %", text_of(app, "status"))
