"""The life of pictures: what is sent to the terminal, and when."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from flowtui.tui.draw.graphics import GRAPHICS
from flowtui.tui.explorer import pixels as module
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.pixels import Pixels
from tests.factories import random_run

RUN = random_run()
SIXEL = "\x1bP0;1;0q"
SEND, SHOW, HIDE, FORGET = "\x1b_Ga=t", "\x1b_Ga=p", "\x1b_Ga=d,d=i", "\x1b_Ga=d,d=I"


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test changes of the time to wait is put back."""
    monkeypatch.setattr(module, "SETTLE_S", 1000)


class Opened:
    """An explorer whose sequences are kept."""

    def __init__(self, name: str) -> None:
        graphics = GRAPHICS[name]()
        graphics.screen_px = (9, 15)
        self.app = ExplorerApp(RUN, graphics=graphics)
        self.written: list[str] = []
        self.app.write = self.written.append  # type: ignore[method-assign]

    @property
    def pixels(self) -> Pixels:
        assert self.app._pixels is not None
        return self.app._pixels

    def take(self) -> str:
        """What was written since the last time."""
        text = "".join(self.written)
        self.written.clear()
        return text

    def wait_long(self) -> None:
        """From here on pictures come so late that none does."""
        module.SETTLE_S = 1000

    async def settle(self, pilot: Pilot[None]) -> str:
        """Waits until the pictures are there; returns what was written."""
        module.SETTLE_S = 0.05
        if not self.pixels.shown and not self.pixels.stopped:
            self.pixels.settle_soon()
        for _ in range(100):
            await pilot.pause(0.05)
            if self.pixels.shown and not self.pixels._timer:
                break
        await pilot.pause()
        return self.take()


@asynccontextmanager
async def opened(name: str, size: tuple[int, int] = (100, 32)) -> AsyncIterator[tuple[Opened, Pilot[None]]]:
    made = Opened(name)
    async with made.app.run_test(size=size, notifications=True) as pilot:
        yield made, pilot


@pytest.mark.parametrize("name", ["sixel", "kitty"])
async def test_pixels_come_when_keys_rest(name: str) -> None:
    async with opened(name) as (made, pilot):
        await pilot.pause()
        assert made.take() == "", "the first screen is half blocks"
        first = await made.settle(pilot)
        assert (SIXEL in first) == (name == "sixel")
        assert (SEND in first) == (SHOW in first) == (name == "kitty")
        (shown,) = made.pixels.shown
        cell = (shown.left, shown.top)
        assert f"\x1b[{cell[1] + 1};{cell[0] + 1}H" in first
        region = made.app.query_one("#map").content_region
        assert region.contains(*cell)


async def test_while_a_key_repeats_sixel_is_half_blocks() -> None:
    async with opened("sixel") as (made, pilot):
        await made.settle(pilot)
        made.wait_long()
        await pilot.press("l", "l", "l")
        assert made.pixels.shown == ()
        assert made.take() == ""
        assert SIXEL in await made.settle(pilot)


async def test_a_step_with_kitty_is_an_overlay_and_nothing_else() -> None:
    async with opened("kitty") as (made, pilot):
        await made.settle(pilot)
        await pilot.press("l")
        await pilot.pause()
        step = made.take()
        assert step.count(SEND) == step.count(SHOW) == step.count(HIDE) == 1
        assert step.index(SHOW) < step.index(HIDE), "the new lies over the old before that goes"
        assert len(step) < 4 << 10
        assert made.app._painter.covered, "the text under it is the photo alone"
        # Back again: the terminal still has it.
        await pilot.press("h")
        await pilot.pause()
        assert SEND not in (back := made.take())
        assert SHOW in back
        assert len(back) < 200


async def test_opacity_makes_another_photo_and_views_other_places() -> None:
    async with opened("kitty") as (made, pilot):
        await made.settle(pilot)
        made.wait_long()
        await pilot.press("o")
        await pilot.pause()
        assert made.take().count(HIDE) == 2
        assert not made.app._painter.covered
        assert (await made.settle(pilot)).count(SEND) == 2
        made.wait_long()
        await pilot.press("2")
        await pilot.pause()
        assert made.take().count(HIDE) == 2
        grid = await made.settle(pilot)
        assert len(made.pixels.shown) == 12
        # One photo for all tiles, and an overlay for each map that was not sent before.
        assert grid.count(SHOW) == 24
        assert grid.count(SEND) == 12


@pytest.mark.parametrize("name", ["sixel", "kitty"])
@pytest.mark.parametrize("key", ["question_mark", "e", "ctrl+p"])
async def test_a_dialog_takes_them_away_until_it_is_closed(name: str, key: str) -> None:
    async with opened(name) as (made, pilot):
        await made.settle(pilot)
        await pilot.press(key)
        await pilot.pause()
        assert made.pixels.shown == ()
        assert (HIDE in made.take()) == (name == "kitty")
        made.pixels.settle_soon()
        await pilot.pause(0.3)
        assert made.take() == "", "nothing comes over the dialog"
        await pilot.press("escape")
        assert await made.settle(pilot) != ""


@pytest.mark.parametrize("name", ["sixel", "kitty"])
async def test_a_toast_over_a_map_takes_it_away(name: str) -> None:
    # Toasts take the right half: there are maps in the view of all layers.
    async with opened(name) as (made, pilot):
        await pilot.press("2")
        await made.settle(pilot)
        assert len(made.pixels.shown) == 12
        for _ in range(3):  # One above the other.
            made.app.notify("Some words that are long enough to lie over the last layers.", timeout=600)
        for _ in range(100):
            await pilot.pause(0.1)
            if not made.pixels.shown:
                break
        assert made.pixels.shown == ()
        assert list(made.app.screen.query("Toast"))
        made.take()
        made.app.clear_notifications()
        for _ in range(100):
            await pilot.pause(0.1)
            if made.pixels.shown:
                break
        assert not list(made.app.screen.query("Toast"))
        assert made.take() != "", "back by themselves"


@pytest.mark.parametrize("name", ["sixel", "kitty"])
async def test_another_size_is_another_place(name: str) -> None:
    async with opened(name) as (made, pilot):
        await made.settle(pilot)
        (before,) = made.pixels.shown
        made.wait_long()
        await pilot.resize_terminal(140, 40)
        await pilot.pause()
        assert made.pixels.shown == ()
        made.take()
        await made.settle(pilot)
        (after,) = made.pixels.shown
        assert after.size != before.size


async def test_nothing_stays_when_the_screen_is_left() -> None:
    async with opened("kitty") as (made, pilot):
        await made.settle(pilot)
        await pilot.press("l", "l")
        await made.settle(pilot)
        made.app.leave_screen()
        numbers = re.findall(r"d=I,i=(\d+)", made.take())
        assert len(set(numbers)) == 4  # The photo and three layers.
        assert made.pixels.shown == ()
        await pilot.press("h")
        await pilot.pause(0.3)
        assert made.take() == ""
        made.app.app_resume_signal.publish(made.app)
        assert SEND in await made.settle(pilot)


async def test_playing_is_half_blocks_with_sixel() -> None:
    async with opened("sixel") as (made, pilot):
        await made.settle(pilot)
        await pilot.press("space")
        await pilot.pause(0.6)
        assert made.pixels.shown == ()
        assert made.take() == ""
        await pilot.press("space")
        assert SIXEL in await made.settle(pilot)


async def test_cells_alone_have_no_pictures() -> None:
    for name in ("halfblock", "ascii"):
        app = ExplorerApp(RUN, graphics=GRAPHICS[name]())
        async with app.run_test() as pilot:
            await pilot.pause()
            assert app._pixels is None
