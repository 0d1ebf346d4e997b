"""What a terminal should show: the maps as the painter has them, in their places, and how far a screen is from that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.tui.draw.cursor import framed
from flowtui.tui.draw.graphics import HalfBlock
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.placed import Placed

Pixels = NDArray[np.uint8]
BAD = 40
"""A pixel is bad when a channel is so far off: palettes and gamma of terminals stay below."""


@dataclass(frozen=True)
class Distance:
    """Attributes: mean: of all channels, 0..255; bad: part of the pixels that are `BAD`."""

    mean: float
    bad: float


def distance(seen: Pixels, wanted: Pixels) -> Distance:
    """How far two pictures of the same size are apart. Never by the largest difference: one edge pixel decides it."""
    assert seen.shape == wanted.shape
    apart = np.abs(seen.astype(int) - wanted)
    return Distance(float(apart.mean()), float((apart.max(axis=2) >= BAD).mean()))


async def placed_maps(
    path: Path, keys: str, size: tuple[int, int], cell_px: tuple[int, int]
) -> list[tuple[Placed, tuple[int, int]]]:
    """The maps that the explorer shows after some keys, and where on the screen each begins, in cells."""
    graphics = HalfBlock()
    graphics.screen_px = cell_px
    app = ExplorerApp(Run.from_plain(read_plain(path)), path=path, graphics=graphics)
    made = []
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        for panel in app.screen_stack[0].query(Panel):
            if panel.region.area and panel.pictures:
                at = panel.content_region
                made += [(placed, (at.x + placed.left, at.y + placed.top)) for placed in panel.pictures]
    return made


def draw(placed: Placed, cell_px: tuple[int, int], frame_px: int = 3) -> Pixels:
    """A map in pixels."""
    size_px = (placed.size[0] * cell_px[0], placed.size[1] * cell_px[1])
    canvas = placed.painter.canvas(size_px, placed.background)
    picture = placed.painter.picture(
        canvas, placed.heat, placed.shown_opacity, placed.background, placed.palette, placed.cell
    )
    made = picture.blended()
    return made if picture.mark is None else framed(made, picture.mark, frame_px)


def part(screen: Pixels, at: tuple[int, int], wanted: Pixels, cell_px: tuple[int, int]) -> Pixels:
    """The part of a screen that begins at a cell and is as large as a picture."""
    x, y = at[0] * cell_px[0], at[1] * cell_px[1]
    return screen[y : y + wanted.shape[0], x : x + wanted.shape[1]]
