"""The colour map as a bar, with its values."""

from __future__ import annotations

import numpy as np
from textual.strip import Strip

from .cells import Part, line
from .character import RAMP
from .colours import colour
from .ink import Ink, style


def legend(ink: Ink, width: int, high: str, *, note: str = "", plain: bool = False) -> Strip:
    """From 0 to the highest value.

    Args:
        ink: Colours.
        width: Cells.
        high: The highest value, with its unit.
        note: Said at the right edge where there is room.
        plain: Show the glyph ramp of character art instead of colours alone.
    """
    steps = max(len(RAMP), min(24, width // 4))
    colours = colour((np.arange(steps) + 0.5) / steps).tolist()
    glyphs = [RAMP[i * len(RAMP) // steps] for i in range(steps)] if plain else ["█"] * steps
    bar: list[Part] = []
    for glyph, shade in zip(glyphs, colours, strict=True):
        front = (255, 255, 255) if ink.dark else (0, 0, 0)
        bar.append((glyph, style(front if plain else tuple(shade), ink.background)))
    right = [(note, ink.dim)] if note else []
    return line(ink, width, ("0 ", ink.dim), *bar, (f" {high}", ink.text), right=right)
