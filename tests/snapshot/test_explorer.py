"""The explorer as a picture: `pytest tests/snapshot --snapshot-update` after a change that is meant."""

from pathlib import Path

import pytest

from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from tests.factories import random_run

WHOLE = random_run()
PATH = Path("presence.pkl")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 20)])
def test_main(snap_compare, width: int, height: int) -> None:
    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(width, height), press=["l"] * 5)


def test_main_of_a_7b_model(snap_compare) -> None:
    run = random_run(layers=32, heads=8, grid=(24, 24), cliff=18)
    assert snap_compare(ExplorerApp(run, path=PATH), terminal_size=(120, 40), press=["c", "right_square_bracket"])


def test_last_layer_is_zero(snap_compare) -> None:
    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(80, 24), press=["G"])


def test_attention_map_in_a_light_theme(snap_compare) -> None:
    async def light(pilot) -> None:
        pilot.app.theme = "textual-light"
        await pilot.press("m", "n", "right_square_bracket")
        await pilot.pause()

    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(120, 40), run_before=light)


def test_character_art(snap_compare) -> None:
    app = ExplorerApp(WHOLE, path=PATH, graphics=Ascii())
    assert snap_compare(app, terminal_size=(80, 24), press=["l"] * 3)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_grid(snap_compare, width: int, height: int) -> None:
    run = random_run(layers=32, heads=2, grid=(24, 24), cliff=18)
    assert snap_compare(ExplorerApp(run, path=PATH), terminal_size=(width, height), press=["v", "j", "l"])


def test_help(snap_compare) -> None:
    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(80, 24), press=["question_mark"])


def test_missing_analyses(snap_compare) -> None:
    app = ExplorerApp(random_run(analyses=()), path=PATH)
    assert snap_compare(app, terminal_size=(80, 24))


def test_no_cliff(snap_compare) -> None:
    app = ExplorerApp(random_run(cliff=None), path=PATH)
    assert snap_compare(app, terminal_size=(80, 24), press=["l"])
