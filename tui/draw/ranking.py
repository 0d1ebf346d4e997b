"""Lines of a list: a rank with a bar, and a value over all layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from .bars import percent
from .cells import Part, line, width_of
from .columns import Columns
from .ink import Ink
from .spark import bar, spark


def ranking(ink: Ink, width: int, entries: Sequence[tuple[int, str, str, float]], chosen: int | None) -> list[Strip]:
    """A list with bars.

    Args:
        ink: Colours.
        width: Cells.
        entries: (rank from 0, name, value, length of its bar in 0..1).
        chosen: Rank to mark, or None.
    """
    wide_name = max((len(name) for _, name, _, _ in entries), default=0)
    wide_rank = max((len(str(rank + 1)) for rank, _, _, _ in entries), default=0)
    wide_value = max((len(value) for _, _, value, _ in entries), default=0)
    made = []
    for rank, name, value, part in entries:
        room = width - wide_rank - 1 - wide_name - wide_value - 3
        meter: list[Part] = [(f" {bar(part, room)}", ink.accent)] if room >= 4 else []
        tone = ink.mark if rank == chosen else ink.text
        made.append(
            line(
                ink,
                width,
                (f"{rank + 1:>{wide_rank}} ", ink.dim),
                (f"{name:<{wide_name}}", tone),
                (f" {value:>{wide_value}}", ink.strong),
                *meter,
            )
        )
    return made


def curve_line(
    ink: Ink, width: int, parts: list[Part], values: NDArray[np.float64], layer: int, group: int | None = None
) -> Strip:
    """Words, then a share over all layers as a small curve with its largest value.

    Args:
        ink: Colours.
        width: Cells.
        parts: The words.
        values: [L] in 0..1, NaN where nothing is known.
        layer: Current layer, drawn in full colour.
        group: Index of the colour; None for that of text.
    """
    top = float(np.nanmax(values, initial=0))
    limit = f" ≤ {percent(top).strip()}"
    columns = Columns(len(values), max(1, width - width_of(parts) - len(limit)))
    curve = spark(columns.spread(values), top)[0]
    start, end = columns.start(layer), columns.end(layer)
    full, dim = (ink.strong, ink.dim) if group is None else (ink.groups[group], ink.groups_dim[group])
    return line(
        ink, width, *parts, (curve[:start], dim), (curve[start:end], full), (curve[end:], dim), (limit, ink.dim)
    )
