"""The maps on screen as pictures in pixels, for a picture of the screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image

from flowtui.tui.draw.cursor import framed
from flowtui.tui.screenshot import Cells, local_svg

from .panel import Panel
from .placed import Placed
from .protocols import FRAME_PX

if TYPE_CHECKING:
    from .shell import Shell

CELL_PX = (24, 48)
"""So many pixels of a cell make the picture."""


def screen_svg(app: Shell, title: str = "") -> str:
    """What is on screen, maps in pixels."""
    svg = app.export_screenshot(title=title)
    # Over cells that a dialog covers there are none.
    return local_svg(svg, pictures(app) if len(app.screen_stack) == 1 else ())


def pictures(app: Shell) -> Iterator[tuple[Cells, Image.Image]]:
    """The maps that panels have drawn, as pictures, with their place on the screen."""
    if app.graphics_name == "ascii":
        return
    for panel in app.screen_stack[0].query(Panel):
        if panel.is_on_screen and all(node.display for node in panel.ancestors_with_self if isinstance(node, Panel)):
            at = panel.content_region
            for placed in panel.pictures:
                if min(placed.size) > 0:
                    yield (at.x + placed.left, at.y + placed.top, *placed.size), picture(placed)


def picture(placed: Placed) -> Image.Image:
    """One map over its photo."""
    painter, size = placed.painter, placed.size
    canvas = painter.canvas((size[0] * CELL_PX[0], size[1] * CELL_PX[1]), placed.background)
    made = painter.picture(canvas, placed.heat, placed.shown_opacity, placed.background, placed.palette, placed.cell)
    rgb = made.blended()
    return Image.fromarray(rgb if made.mark is None else framed(rgb, made.mark, FRAME_PX))
