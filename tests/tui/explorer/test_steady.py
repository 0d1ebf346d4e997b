"""When frames are drawn, and what is drawn ahead."""

import asyncio
from pathlib import Path

import pytest

from flowtui.tui.explorer import app as app_module
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.frame import Frame
from flowtui.tui.explorer.mapview import MapPanel
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.steady import SteadyApp
from tests.factories import random_run

RUN = random_run(layers=32, heads=2, cliff=18)


class Counted(ExplorerApp):
    """Counts frames; the line has room when the test says so."""

    CSS_PATH = Path(app_module.__file__).with_name("explorer.tcss")
    drawn = 0
    room = True

    def draw(self) -> None:
        self.drawn += 1
        super().draw()

    @property
    def _line_has_room(self) -> bool:
        return self.room


def shown(app: ExplorerApp) -> str:
    return "\n".join(strip.text for strip in app.query_one("#map", Panel)._lines)


async def test_changes_within_one_turn_become_one_frame() -> None:
    app = Counted(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        before = app.drawn
        for _ in range(20):
            app.action_step(1)
        await pilot.pause()
        assert app.drawn == before + 1
        assert "layer 20/31" in shown(app)


async def test_nothing_is_drawn_while_the_line_is_full_and_then_only_the_newest_state() -> None:
    app = Counted(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        before, app.room = app.drawn, False
        await pilot.press(*"lllll")
        await pilot.pause()
        assert app.look.layer == 5
        assert app.drawn == before
        assert "layer 0/31" in shown(app)
        app.room = True
        app.on_line_room()
        await pilot.pause()
        assert app.drawn == before + 1
        assert "layer 5/31" in shown(app)


async def test_the_colours_of_what_is_drawn_ahead_are_worked_out_with_it() -> None:
    app = Counted(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        panel = app.query_one("#map", MapPanel)
        frame = app._frame_of(app.look.at_layer(20, 32))
        assert panel.prepare(frame)
        styles = {segment.style for strip in panel._states[panel._key(frame)].lines for segment in strip}
        assert len(styles) > 20
        assert all(style is None or style._ansi is not None for style in styles)


async def test_the_panels_are_drawn_while_the_line_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[int] = []
    draw = MapPanel.draw

    def counted(self: MapPanel, frame: Frame, width: int, height: int) -> object:
        layers.append(frame.look.layer)
        return draw(self, frame, width, height)

    monkeypatch.setattr(MapPanel, "draw", counted)
    app = Counted(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app.room = False
        await pilot.press("G")
        await pilot.pause()
        assert layers[-1] == 31
        assert "layer 0/31" in shown(app)
        layers.clear()
        app.room = True
        app.on_line_room()
        await pilot.pause()
        assert "layer 31/31" in shown(app)
        assert 31 not in layers, "it is drawn once"


async def until(app: ExplorerApp, done: asyncio.Event) -> None:
    await asyncio.wait_for(done.wait(), 20)


async def test_neighbours_are_drawn_while_nothing_happens_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[int] = []
    both = asyncio.Event()
    draw = MapPanel.draw

    def counted(self: MapPanel, frame: Frame, width: int, height: int) -> object:
        layers.append(frame.look.layer)
        if {9, 11} <= set(layers):
            both.set()
        return draw(self, frame, width, height)

    monkeypatch.setattr(MapPanel, "draw", counted)
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("L")
        await until(app, both)
        # What is on screen is not touched by it.
        assert "layer 10/31" in shown(app)
        heat = app.facts.heat_of(app.look)
        (placed,) = app.query_one("#map", Panel).pictures
        assert placed.heat is heat
        layers.clear()
        await pilot.press("l")
        await pilot.pause()
        assert "layer 11/31" in shown(app)
        assert 11 not in layers
        (placed,) = app.query_one("#map", Panel).pictures
        assert placed.heat is app.facts.heat_of(app.look)


async def test_a_key_stops_what_is_drawn_ahead() -> None:
    app = Counted(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        app._stale = True
        app._go_on()
        assert not app._ahead.go_on()


def test_the_driver_is_the_one_with_a_line() -> None:
    assert SteadyApp().driver_class.__name__ == "LineDriver"
