"""The colour map as a bar, with its values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len
from textual.strip import Strip

from .cells import Part, line
from .character import RAMP
from .colours import colour
from .ink import Ink, style


def legend(
    ink: Ink,
    width: int,
    high: str,
    *,
    low: str = "0",
    notes: Sequence[str] = (),
    plain: bool = False,
    palette: str = "inferno",
) -> Strip:
    """From the lowest value to the highest.

    Args:
        ink: Colours.
        width: Cells.
        high: The highest value, with its unit.
        low: The lowest value.
        notes: Said at the right edge: the first that there is room for.
        plain: Show the glyph ramp of character art instead of colours alone.
        palette: Colour map.
    """
    steps = max(len(RAMP), min(24, width // 4))
    colours = colour((np.arange(steps) + 0.5) / steps, palette).tolist()
    glyphs = [RAMP[i * len(RAMP) // steps] for i in range(steps)] if plain else ["█"] * steps
    bar: list[Part] = []
    for glyph, shade in zip(glyphs, colours, strict=True):
        front = (255, 255, 255) if ink.dark else (0, 0, 0)
        bar.append((glyph, style(front if plain else tuple(shade), ink.background)))
    room = width - steps - cell_len(high) - cell_len(low) - 3
    right = [(note, ink.dim) for note in notes if cell_len(note) <= room][:1]
    return line(ink, width, (f"{low} ", ink.dim), *bar, (f" {high}", ink.text), right=right)
