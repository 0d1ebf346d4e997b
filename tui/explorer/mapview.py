"""The image with the layer's map."""

from __future__ import annotations

from rich.style import Style
from textual.strip import Strip

from flowtui.tui.draw.cells import beside, heading, line, wrap
from flowtui.tui.draw.fields import fit_cells
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.legend import legend

from .facts import KIND_NAMES, Gap, Heat
from .frame import Frame
from .panel import Panel
from .placed import Placed
from .spot import spot_of


class MapPanel(Panel):
    """Heading, image, legend, and a note where something has to be said."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """The current layer's map."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        heat = facts.heat_of(look)
        note = heat.note or frame.painter.problem
        notes = note_lines(ink, width, note, ink.warn, max(2, height // 2 - 1))
        title = heading(
            ink, width, KIND_NAMES[look.kind], f"layer {look.layer}/{facts.layers - 1}", facts.rows_of(look)
        )
        legend_rows = 0 if isinstance(heat, Heat) and not heat.peak else 1
        room = max(1, height - 1 - legend_rows - len(notes))
        size = fit_cells(frame.painter.ratio, width, room)
        shown = None if isinstance(heat, Gap) else heat
        image = frame.painter.draw(shown, look.opacity, size, ink.background, look.palette, look.cell)
        left = (width - size[0]) // 2
        self.pictures = (
            Placed(left, 1, size, frame.painter, shown, look.opacity, ink.background, look.palette, look.cell),
        )
        made = [title, *(beside(ink, width, strip, left) for strip in image)]
        if shown is None:
            made.append(line(ink, width, ("no map here", ink.dim)))
        elif not look.opacity and shown.peak:
            made.append(line(ink, width, (f"photo alone (o) · map max {shown.high}", ink.dim)))
        elif shown.peak:
            plain = frame.painter.graphics.name == "ascii"
            spot = spot_of(frame)
            says = (shown.peak, shown.peak_short)
            if spot is not None:
                here = f"{spot.cell.row},{spot.cell.col}"
                says = (f"{here}: {spot.value}, {spot.part}", f"{here}: {spot.part}")
            made.append(legend(ink, width, shown.high, notes=says, plain=plain, palette=look.palette))
        return [*made, *notes]


def note_lines(ink: Ink, width: int, note: str, tone: Style, rows: int) -> list[Strip]:
    """A sentence over some lines."""
    return [line(ink, width, (text, tone)) for text in wrap(note, width, rows)]
