"""The cell under the cursor in the main view: where it is, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from textual.strip import Strip

from flowtui.tui.draw.cells import line, width_of
from flowtui.tui.draw.ink import Ink

from .facts import Facts, Gap, Heat
from .frame import Frame
from .gridcells import Cell, GridCells
from .look import Look


@dataclass(frozen=True, slots=True)
class Spot:
    """One cell of a map.

    Attributes:
        cell: Its place.
        grid: Its grid's name, "" where there is only one.
        position: Of its token in the sequence.
        value: With its unit, "" where there is no map.
        part: In percent of the map's maximum, or "".
        word: What the logit lens reads at it, with the probability; "" where that is not known.
    """

    cell: Cell
    grid: str
    position: int
    value: str
    part: str
    word: str

    def texts(self) -> list[tuple[str, ...]]:
        """Ways to say it, the longest first: a few words each, the most important first."""
        place = f"row {self.cell.row} col {self.cell.col}"
        long = (f"{place} of {self.grid}" if self.grid else place, f"{self.value}, {self.part} of the maximum",
                f"token {self.position}", f"lens {self.word}")  # fmt: skip
        short = (
            f"{place} {self.grid}".strip(),
            f"{self.value}, {self.part} of max",
            f"token {self.position}",
            self.word,
        )
        least = (f"{self.cell.row},{self.cell.col} {self.grid}".strip(), self.value, self.part)
        return [self._there(long), self._there(short), self._there(least)]

    def _there(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        value = (self.value and texts[1]) or "no map here"
        word = texts[3:] if self.word else ()
        return (texts[0], value, *texts[2:3], *word) if self.value or len(texts) == 4 else (texts[0], value)


def start(facts: Facts, cells: GridCells, look: Look) -> Look | None:
    """The look with the cursor on the map's peak, or on the first cell where there is no map; None without cells."""
    if not len(cells):
        return None
    heat = facts.heat_of(look)
    there = [token for token in range(len(facts.run.tokens.image_positions)) if cells.cell(token) is not None]
    if isinstance(heat, Heat):
        values = np.asarray(heat.values)[there]
        return replace(look, view="main", cell=there[int(values.argmax())])
    return replace(look, view="main", cell=there[0])


def spot_of(frame: Frame) -> Spot | None:
    """The cell under the cursor; None while there is no cursor in the main view."""
    facts, look = frame.facts, frame.look
    cell = None if look.cell is None or look.view != "main" else frame.painter.cells.cell(look.cell)
    if cell is None or look.cell is None:
        return None
    heat = facts.heat_of(look)
    value = part = ""
    if not isinstance(heat, Gap):
        share = float(heat.values[look.cell])
        value, part = heat.say(share * heat.top), f"{100 * share:.0f} %"
    tokens = facts.run.tokens
    grid = f"grid {cell.grid}" if len(tokens.spans) > 1 else ""
    return Spot(cell, grid, int(tokens.image_positions[look.cell]), value, part, _word(facts, look.layer, look.cell))


def spot_line(ink: Ink, width: int, spot: Spot, hint: str) -> Strip:
    """As much of it as fits on a line, and how to leave where there is room for that too."""
    long, short, least = ([(texts[0], ink.strong), *((f" · {text}", ink.text) for text in texts[1:])]
                          for texts in spot.texts())  # fmt: skip
    room = width - len(hint) - 2
    for parts, most in ((long, room), (short, room), (short, width), (least, room)):
        if width_of(parts) <= most:
            return line(ink, width, *parts, right=[(hint, ink.dim)])
    return line(ink, width, *least)


def _word(facts: Facts, layer: int, token: int) -> str:
    """What the logit lens reads at an image token."""
    from .lensfacts import lens_facts

    numbers = lens_facts(facts)
    patches = numbers.patches(layer) if numbers.there else None
    if patches is None:
        return ""
    return f"“{patches.words[token]}” {100 * float(patches.probs[token]):.0f} %"
