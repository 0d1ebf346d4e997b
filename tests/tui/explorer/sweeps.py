"""Sweeps on screen: made up, opened, and read back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

from textual.pilot import Pilot

from flowtui.engine.sweeps.result import Sweep
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.sweepfacts import SweepFacts
from flowtui.tui.explorer.sweeplook import SweepLook
from flowtui.tui.explorer.sweepscreen import SweepPanel, SweepScreen
from tests.factories import random_sweep

SWEEP = random_sweep(items=60)
PATH = Path("demo.pkl")


def with_metrics(sweep: Sweep) -> Sweep:
    """The same with a second metric, of which less is better, and that not every item counts for."""
    items = []
    for item in sweep.items:
        wrong = tuple((1 - over, under if item.kind != "colour" else 0.0) for over, under in item.counts["accuracy"])
        wrong = tuple((over if under else 0.0, under) for over, under in wrong)
        items.append(replace(item, counts={**item.counts, "wrong": wrong}))
    return replace(sweep, metrics={**sweep.metrics, "wrong": True}, items=tuple(items))


BOTH = with_metrics(SWEEP)
LARGE = random_sweep(items=400, curves=(("all", 0),))
_FOUND: dict[int, SweepFacts] = {}


@asynccontextmanager
async def opened_sweep(
    sweep: Sweep = BOTH, size: tuple[int, int] = (120, 40), look: SweepLook | None = None, **how: object
) -> AsyncIterator[tuple[ExplorerApp, Pilot[None]]]:
    """An explorer of a sweep whose cliff has been found."""
    app = ExplorerApp(sweep, path=how.pop("path", PATH), **how)
    app.sweeps[0].facts = found_facts(sweep)
    if look is not None:
        app.sweeps[0].look = look
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        yield app, pilot


def found_facts(sweep: Sweep) -> SweepFacts:
    """Numbers of a sweep with all its cliffs, found once."""
    if id(sweep) not in _FOUND:
        facts = SweepFacts(sweep)
        for metric, curve in product(range(len(sweep.metrics)), range(len(sweep.curves))):
            facts.find(SweepLook(metric=metric, curve=curve))
        _FOUND[id(sweep)] = facts
    return _FOUND[id(sweep)]


async def settled(app: ExplorerApp, pilot: Pilot[None]) -> None:
    """Waits until nothing is being looked for."""
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()


def screen_text(app: ExplorerApp) -> str:
    """What the sweep's screen shows."""
    screen = app.sweep_screen
    assert isinstance(screen, SweepScreen)
    return "\n".join(strip.text for strip in screen.query_one(SweepPanel)._lines)


def look_of(app: ExplorerApp) -> SweepLook:
    """What is looked at."""
    assert app.sweep_screen is not None
    return app.sweep_screen.sweep.look
