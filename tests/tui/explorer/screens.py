"""The explorer driven by keys, and what its panels show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from textual.pilot import Pilot

from flowtui.engine.results import Run
from flowtui.tui.draw.graphics import Ascii, Graphics, HalfBlock
from flowtui.tui.draw.ink import DARK
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.frame import Frame
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.painter import Painter
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.view import ViewPanel

SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


def text_of(app: ExplorerApp, view: str) -> str:
    """What a view shows."""
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#view-{view}", Panel)._lines)


@asynccontextmanager
async def opened(
    run: Run, look: Look, size: tuple[int, int] = (120, 40), **how: object
) -> AsyncIterator[tuple[ExplorerApp, Pilot[None]]]:
    """An explorer at a look."""
    app = ExplorerApp(run, **how)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        app.look_at(look)
        await pilot.pause()
        yield app, pilot


async def shown(run: Run, look: Look, *keys: str, size: tuple[int, int] = (120, 40), **how: object) -> str:
    """What a view shows after some keys."""
    async with opened(run, look, size, **how) as (app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        return text_of(app, look.view)


def frame_of(run: Run, look: Look, graphics: Graphics | None = None) -> Frame:
    """A frame as the application makes it."""
    return Frame(Facts(run), look, DARK, Painter(run, graphics or HalfBlock()), "", ())


def fills_every_size(panel: ViewPanel, run: Run, *looks: Look) -> None:
    """Checks that a view's lines are as wide as it is told at every size, and not more than it is told."""
    for graphics in (HalfBlock(), Ascii()):
        frame = frame_of(run, looks[0], graphics)
        for width, height in [(1, 1), (18, 3), (38, 5), (58, 13), (78, 17), (118, 31), (198, 51)]:
            for look in looks:
                made = panel.draw(replace(frame, look=look), width, height)
                assert {strip.cell_length for strip in made} == {width}
                assert len(made) <= height or height < 6


def without(run: Run, name: str, *layers: int) -> Run:
    """A run that lacks some layers of an analysis."""
    analysis = run.analyses[name]
    return run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k not in layers}))
