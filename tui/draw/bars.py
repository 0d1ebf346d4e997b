"""Shares of the token groups: one bar each for the layer, and a small curve each over all layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from .cells import Part, line
from .columns import Columns
from .ink import Ink
from .spark import MISSING, bar, spark

NAME_CELLS = 8
VALUE_CELLS = 8
SMALLEST = 0.0005
"""Shares below this are written as 0.0 %."""


def percent(share: float) -> str:
    """A share in 0..1 as text of `VALUE_CELLS` cells."""
    return f"{100 * share:6.1f} %" if np.isfinite(share) else f"{MISSING:>6} %"


def group_bars(
    ink: Ink, width: int, rows_each: int, names: tuple[str, ...], shares: NDArray[np.floating], layer: int
) -> list[Strip]:
    """Draws the groups below each other.

    Args:
        ink: Colours; `ink.groups` in the order of `names`.
        width: Cells.
        rows_each: Lines per group; 1 puts bar and curve side by side, more put the curve below the bar.
        names: Group names.
        shares: [L G] in 0..1, NaN where a layer is missing.
        layer: The layer whose shares the bars show.

    Returns:
        `rows_each` strips per group. Each curve runs from 0 to its group's own largest share, said as "max".
    """
    made: list[Strip] = []
    for g, name in enumerate(names):
        over, tone = np.asarray(shares[:, g], dtype=np.float64), ink.groups[g]
        top = float(np.nanmax(over)) if np.isfinite(over).any() else 0.0
        limit = f" max {100 * top:3.0f} %"
        # What is written as 0 % is drawn as nothing, and no curve is blown up to show it.
        over = np.where(over < SMALLEST, 0, over)
        top = max(top, 100 * SMALLEST)
        label: Part = (f"{name[:NAME_CELLS]:<{NAME_CELLS}}", ink.text)
        value: Part = (percent(float(over[layer])), ink.strong)
        room = width - NAME_CELLS - VALUE_CELLS
        if rows_each == 1:
            curve_cells = max(0, room // 2 - 1 - len(limit))
            bar_cells = max(0, room - curve_cells - len(limit) - 2) if curve_cells >= 6 else room - 1
            parts: list[Part] = [label, (bar(float(over[layer]), bar_cells), tone), (" ", ink.text), value]
            if curve_cells >= 6:
                columns = Columns(len(over), curve_cells)
                parts += [(" ", ink.text), *_curve(columns, over, top, layer, ink, g)[0], (limit, ink.dim)]
            made.append(line(ink, width, *parts))
            continue
        made.append(line(ink, width, label, (bar(float(over[layer]), room), tone), value))
        columns = Columns(len(over), max(1, room))
        rows = _curve(columns, over, top, layer, ink, g, rows_each - 1)
        for i, row in enumerate(rows):
            note = limit if i == 0 else ("  0 %" if i == len(rows) - 1 else "")
            made.append(line(ink, width, (" " * NAME_CELLS, ink.text), *row, (note, ink.dim)))
    return made


def _curve(
    columns: Columns, values: NDArray[np.float64], top: float, layer: int, ink: Ink, group: int, height: int = 1
) -> list[list[Part]]:
    """A spark line with the current layer's own columns in full colour and the others receding."""
    start, end = columns.start(layer), columns.end(layer)
    full, dim = ink.groups[group], ink.groups_dim[group]
    rows = spark(columns.spread(values), top, height)
    return [[(r[:start], dim), (r[start:end], full), (r[end:], dim)] for r in rows]
