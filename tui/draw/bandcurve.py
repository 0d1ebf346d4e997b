"""A score over K = 0..L with its bands, the untouched model's level, the margin and the cliff's interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.style import Style
from textual.strip import Strip

from .braille import ACROSS, DOWN, draw_line, glyphs
from .cells import Part, line
from .columns import place_labels, wanted_labels
from .curve import AXIS_CELLS
from .ink import Ink, Rgb, mix, style
from .shades import rgb

Floats = NDArray[np.floating]
Cell = tuple[str, Style]


@dataclass(frozen=True, slots=True)
class Spread:
    """K = 0..L as points from the first to the last of `width` cells.

    Attributes:
        layers: L.
        width: Cells, at least 1.
    """

    layers: int
    width: int

    @property
    def count(self) -> int:
        """Number of K."""
        return self.layers + 1

    def start(self, k: int) -> int:
        """The cell of a K."""
        return round(k * (self.width - 1) / self.layers)

    def nearest(self, cell: int) -> int:
        """The K at a cell."""
        return max(0, min(round(cell * self.layers / max(1, self.width - 1)), self.layers))


@dataclass(frozen=True, slots=True)
class Banded:
    """What is plotted.

    Attributes:
        values: [L+1], NaN where missing.
        low, high: [L+1] edges of the bands; None while they are not known.
        level: The untouched model's value.
        limit: What the margin allows, or None.
        cliff: The cliff's K, or None.
        interval: First and last K of the cliff's interval, or None.
    """

    values: Floats
    low: Floats | None
    high: Floats | None
    level: float
    limit: float | None = None
    cliff: int | None = None
    interval: tuple[int, int] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The values at the lower and the upper edge: all of it, with a little room."""
        parts = [self.values, np.array([self.level, self.level if self.limit is None else self.limit])]
        parts += [edge for edge in (self.low, self.high) if edge is not None]
        known = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
        known = known[np.isfinite(known)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        room = max(0.04 * (high - low), 1e-6)
        return low - room, high + room


def band_canvas(banded: Banded, width: int, height: int, ink: Ink) -> list[list[Cell]]:
    """The plot area alone: `height` rows of `width` cells; point K lies in the cell `Spread(L, width).start(K)`.

    The band is a shade behind the curve, and its edges are dotted, so that it is there without colour too.
    """
    low, high = banded.ends
    ks = Spread(len(banded.values) - 1, width)
    # The dot in the middle of a K's cell.
    x = np.array([ks.start(k) for k in range(ks.count)], dtype=np.float64) * ACROSS + 0.5
    size = (height * DOWN, width * ACROSS)

    def rows(values: Floats) -> Floats:
        made: Floats = (high - np.asarray(values, dtype=np.float64)) / (high - low) * (size[0] - 1)
        return made

    tones = (_middle(ink.groups[1], ink), _middle(ink.cliff, ink), ink.groups[1])
    layers = [np.zeros(size, dtype=bool) for _ in tones]
    shade = np.zeros((height, width), dtype=bool)
    used = min(size[1], int(x[-1]) + 1)
    if banded.low is not None and banded.high is not None:
        shade = _between(rows(banded.high), rows(banded.low), x, size)
        for edge in (banded.low, banded.high):
            draw_line(layers[0], x, rows(edge))
        layers[0][:, 1::2] = False
    for value, every in ((banded.level, 4), (banded.limit, 2)):
        if value is not None and np.isfinite(value):
            layers[1][round(float(rows(np.array([value]))[0])), :used:every] = True
    draw_line(layers[2], x, rows(banded.values))
    grounds = (ink.background, mix(ink.background, rgb(ink.groups[1]), 0.22))
    # One style object each: a canvas has thousands of cells.
    blank = [style(rgb(ink.text), ground) for ground in grounds]
    inked = [[style(rgb(tone), ground) for ground in grounds] for tone in tones]
    made = [[(" ", blank[on]) for on in row] for row in shade.astype(int).tolist()]
    # All dots of a cell have one colour: that of what matters most in it.
    for layer, colours in zip(layers, inked, strict=True):
        for y, text in enumerate(glyphs(layer)):
            for c, glyph in enumerate(text):
                if glyph != " ":
                    made[y][c] = (glyph, colours[int(shade[y, c])])
    return made


def band_lines(
    ink: Ink, width: int, canvas: list[list[Cell]], banded: Banded, k: int, ends: tuple[str, str]
) -> list[Strip]:
    """Axes around a finished canvas: the current K and the cliff are upright lines, the cliff's interval stands below.

    Args:
        ink: Colours.
        width: Cells; the canvas was made for `width - AXIS_CELLS`.
        canvas: From `band_canvas`.
        banded: What it shows.
        k: Current K.
        ends: What stands at the upper and the lower edge, at most `AXIS_CELLS` - 2 cells each.

    Returns:
        The canvas' lines, one of the cliff and its interval, one of K labels.
    """
    ks = Spread(len(banded.values) - 1, width - AXIS_CELLS)
    made = []
    for y, row in enumerate(canvas):
        label = ends[0] if y == 0 else ends[1] if y == len(canvas) - 1 else ""
        cells = list(row)
        for at, glyph, tone in ((banded.cliff, "┊", ink.cliff), (k, "│", ink.accent)):
            if at is not None and ks.start(at) < len(cells):
                old, ground = cells[ks.start(at)]
                cells[ks.start(at)] = (glyph if old == " " else old, tone + Style(bgcolor=ground.bgcolor))
        parts: list[Part] = [(f"{label:>{AXIS_CELLS - 2}} ", ink.dim), ("┤" if label else "│", ink.dim)]
        made.append(line(ink, width, *parts, *cells).simplify())
    return [*made, _interval(ink, width, ks, banded), _axis(ink, width, ks, banded, k)]


def _interval(ink: Ink, width: int, ks: Spread, banded: Banded) -> Strip:
    """`├──◆──┤` from the interval's first K to its last; nothing where there is none."""
    name: Part = (f"{'cliff' if banded.interval else '':>{AXIS_CELLS - 1}} ", ink.dim)
    if banded.interval is None:
        return line(ink, width, name)
    first, last = (ks.start(k) for k in banded.interval)
    cells = [" "] * ks.width
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[first], cells[last] = "├", "┤"
    if banded.cliff is not None:
        cells[ks.start(banded.cliff)] = "◆"
    return line(ink, width, name, ("".join(cells), ink.cliff))


def _axis(ink: Ink, width: int, ks: Spread, banded: Banded, k: int) -> Strip:
    wanted = wanted_labels(ks.count, (ks.width - 1) / ks.layers, (k, banded.cliff))
    parts: list[Part] = [(f"{'K':>{AXIS_CELLS - 1}} ", ink.dim)]
    at = 0
    for cell, text in place_labels(ks, wanted, width - AXIS_CELLS):
        tone = ink.mark if text == str(k) else ink.cliff if text == str(banded.cliff) else ink.dim
        parts += [(" " * (cell - at), ink.text), (text, tone)]
        at = cell + len(text)
    return line(ink, width, *parts)


def _between(top: Floats, bottom: Floats, x: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which cells lie between two lines, by their middles: [height width]."""
    across = np.arange(size[1] // ACROSS) * ACROSS + 0.5
    middle = np.arange(size[0] // DOWN) * DOWN + (DOWN - 1) / 2
    upper, lower = (np.interp(across, x, edge, left=np.nan, right=np.nan) for edge in (top, bottom))
    # A band thinner than a cell is as high as the cell it lies in.
    upper, lower = np.minimum(upper, lower - 1), np.maximum(lower, upper + 1)
    inside: NDArray[np.bool_] = (middle[:, None] >= upper) & (middle[:, None] <= lower)
    return inside


def _middle(tone: Style, ink: Ink) -> Style:
    """The colour half way to the background."""
    colour: Rgb = mix(rgb(tone), ink.background, 0.35)
    return style(colour, ink.background)
