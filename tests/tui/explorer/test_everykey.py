"""Every key of every binding does what the binding says: in the explorer, over a sweep, and in the dialogs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from textual.app import App
from textual.binding import Binding, BindingType
from textual.screen import Screen

from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.bindings import BINDINGS
from flowtui.tui.explorer.dialogs import ConfirmScreen, ExportScreen, HelpScreen
from flowtui.tui.explorer.sweepkeys import SWEEP_BINDINGS
from tests.factories import random_run
from tests.tui.explorer.sweeps import opened_sweep


def keys_of(bindings: Iterable[BindingType]) -> list[tuple[str, str]]:
    """(key, action) of every key."""
    assert all(isinstance(binding, Binding) for binding in bindings)
    return [(key, b.action) for b in bindings if isinstance(b, Binding) for key in b.key.split(",")]


class Recorder:
    """Takes the place of `run_action`: keeps what is asked for and does nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.actions: list[str] = []
        recorder = self

        async def run_action(self: App[Any], action: str, *_: object, **__: object) -> bool:
            recorder.actions.append(action)
            return True

        monkeypatch.setattr(ExplorerApp, "run_action", run_action)

    async def check(self, pilot: Any, keys: list[tuple[str, str]]) -> None:
        for key, action in keys:
            self.actions.clear()
            await pilot.press(key)
            assert self.actions == [action], key


async def test_in_the_explorer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ExplorerApp(random_run()).run_test() as pilot:
        await pilot.pause()
        await Recorder(monkeypatch).check(pilot, keys_of(BINDINGS))


async def test_over_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened_sweep() as (_, pilot):
        await Recorder(monkeypatch).check(pilot, keys_of(SWEEP_BINDINGS))


@pytest.mark.parametrize(
    "screen", [HelpScreen("text"), ConfirmScreen("Really?"), ExportScreen("folder", ("one", "two"))]
)
async def test_in_dialogs(monkeypatch: pytest.MonkeyPatch, screen: Screen[Any]) -> None:
    app = ExplorerApp(random_run())
    async with app.run_test() as pilot:
        app.push_screen(screen)
        await pilot.pause()
        await Recorder(monkeypatch).check(pilot, keys_of(type(screen).BINDINGS))
