"""All layers on one line: a spark line over them, a ruler below, the current layer and the cliff marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from .cells import Part, line
from .columns import Columns, place_labels, wanted_labels
from .ink import Ink
from .spark import spark

LABEL_CELLS = 13


def scrubber_columns(layers: int, width: int) -> Columns:
    """The columns that a scrubber of this width uses; also for finding the layer under the mouse."""
    return Columns(layers, max(1, width - LABEL_CELLS))


def scrubber(
    ink: Ink, width: int, height: int, label: str, values: NDArray[np.floating], layer: int, cliff: int | None
) -> list[Strip]:
    """Draws the scrubber.

    Args:
        ink: Colours.
        width: Cells.
        height: Lines, at least 2: spark lines, a ruler, and with 3 or more a line of marks.
        label: What the spark line shows, at most `LABEL_CELLS` - 1 cells.
        values: [L], NaN where a layer is missing.
        layer: Current layer.
        cliff: First layer that needs no image, or None.

    Returns:
        `height` strips.
    """
    layers = len(values)
    columns = scrubber_columns(layers, width)
    sparks = max(1, height - 2)
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    rows = spark(columns.spread(values), top, sparks)
    start, end = columns.start(layer), columns.end(layer)
    gap = 1 if columns.step > 2 else 0
    made = []
    for i, row in enumerate(rows):
        # Wide columns get a blank between them, so that layers can be counted.
        text = "".join(" " if gap and c % columns.step == columns.step - 1 else ch for c, ch in enumerate(row))
        name = f"{label[: LABEL_CELLS - 1]:<{LABEL_CELLS}}" if i == len(rows) - 1 else " " * LABEL_CELLS
        tone = ink.groups_dim[1]
        parts: list[Part] = [(text[:start], tone), (text[start:end], ink.groups[1]), (text[end:], tone)]
        made.append(line(ink, width, (name, ink.dim), *parts))
    made.append(_ruler(ink, width, columns, layer, cliff))
    if height > 2:
        made.append(_marks(ink, width, columns, layer, cliff))
    return made[:height]


def _ruler(ink: Ink, width: int, columns: Columns, layer: int, cliff: int | None) -> Strip:
    wanted = wanted_labels(columns.count, columns.used / columns.count, (layer, cliff))
    placed = place_labels(columns, wanted, width - LABEL_CELLS)
    parts: list[Part] = [(f"{'layer':<{LABEL_CELLS}}", ink.dim)]
    at = 0
    for cell, text in placed:
        tone = ink.mark if text == str(layer) else ink.cliff if text == str(cliff) else ink.dim
        parts += [(" " * (cell - at), ink.text), (text, tone)]
        at = cell + len(text)
    return line(ink, width, *parts)


def _marks(ink: Ink, width: int, columns: Columns, layer: int, cliff: int | None) -> Strip:
    room = width - LABEL_CELLS
    marks = [(layer, "▲")]
    if cliff is not None:
        marks.append((cliff, "◆ cliff" if cliff != layer else ""))
        if cliff == layer:
            marks[0] = (layer, "▲ cliff")
    parts: list[Part] = [(" " * LABEL_CELLS, ink.text)]
    at = 0
    for cell, text in place_labels(columns, [m for m in marks if m[1]], room):
        parts += [(" " * (cell - at), ink.text), (text, ink.cliff if "cliff" in text else ink.accent)]
        at = cell + len(text)
    return line(ink, width, *parts)
