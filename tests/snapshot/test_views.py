"""The views as pictures: `pytest tests/snapshot --snapshot-update` after a change that is meant."""

from pathlib import Path

import pytest

from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.look import VIEWS
from tests.factories import random_run

WHOLE = random_run()
PATH = Path("presence.pkl")
SIZES = [(80, 24), (120, 40)]


def key_of(view: str) -> str:
    """The number that opens a view."""
    return str(list(VIEWS).index(view) + 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("view", "keys"),
    [
        ("heads", "s j"),
        ("heads", "t l l"),
        ("tokens", "l l right_square_bracket s"),
        ("lens", "l l right_square_bracket"),
        ("lens", "l l t j J"),
        ("flow", "l l l l"),
        ("matrix", "l l l"),
        ("truncation", "c k"),
        ("compare", "l l l t m"),
    ],
)
def test_view(snap_compare, view: str, keys: str, size: tuple[int, int]) -> None:
    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=size, press=[key_of(view), *keys.split()])


@pytest.mark.parametrize("view", ["heads", "tokens", "lens", "flow", "matrix", "truncation", "compare"])
def test_view_in_a_light_theme(snap_compare, view: str) -> None:
    async def light(pilot) -> None:
        pilot.app.theme = "textual-light"
        await pilot.press(key_of(view), "l", "j", "right_square_bracket")
        await pilot.pause()

    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(80, 24), run_before=light)


@pytest.mark.parametrize("view", ["heads", "tokens", "lens", "flow", "matrix", "truncation", "compare"])
def test_view_without_colours(snap_compare, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ExplorerApp(WHOLE, path=PATH, graphics=Ascii())
    assert snap_compare(app, terminal_size=(80, 24), press=[key_of(view), "l", "j", "right_square_bracket"])


def test_heads_of_a_7b_model(snap_compare) -> None:
    run = random_run(layers=32, heads=32, grid=(24, 24), cliff=18)
    assert snap_compare(ExplorerApp(run, path=PATH), terminal_size=(120, 40), press=[key_of("heads"), "s"])


@pytest.mark.parametrize(
    ("view", "keys"), [("flow", "c t"), ("matrix", "c t"), ("truncation", "G j t"), ("compare", "c t")]
)
def test_views_of_a_7b_model(snap_compare, view: str, keys: str) -> None:
    run = random_run(layers=32, heads=2, grid=(24, 24), cliff=18)
    assert snap_compare(ExplorerApp(run, path=PATH), terminal_size=(120, 40), press=[key_of(view), *keys.split()])


@pytest.mark.parametrize("view", ["flow", "matrix", "truncation", "compare"])
def test_views_on_a_small_screen(snap_compare, view: str) -> None:
    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(60, 20), press=[key_of(view), "l", "l"])


def test_pinned_layer(snap_compare) -> None:
    async def pin(pilot) -> None:
        await pilot.press(key_of("compare"), "l", "l", "l", "x", "l", "l")
        pilot.app.clear_notifications()
        await pilot.pause()

    assert snap_compare(ExplorerApp(WHOLE, path=PATH), terminal_size=(80, 24), run_before=pin)
