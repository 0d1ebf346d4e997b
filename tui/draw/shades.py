"""A colour at some strength behind text that stays readable."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from rich.style import Style

from .ink import Rgb, mix, style

SHADES = 16
_LIGHT = np.array([0.299, 0.587, 0.114])


def rgb(of: Style) -> Rgb:
    """A style's colour; grey where it has none of its own."""
    triplet = None if of.color is None else of.color.triplet
    return (128, 128, 128) if triplet is None else (triplet.red, triplet.green, triplet.blue)


def shaded(tone: Style, background: Rgb, part: float) -> Style:
    """A colour as text where it is weak, as the ground of the text where it is strong.

    Args:
        tone: A style of that colour.
        background: Of the panel.
        part: Strength in 0..1; NaN counts as 0.
    """
    part = min(max(part, 0.0), 1.0) if np.isfinite(part) else 0.0
    return _shaded(rgb(tone), background, round(part * (SHADES - 1)))


@lru_cache(maxsize=1 << 10)
def _shaded(colour: Rgb, background: Rgb, shade: int) -> Style:
    ground = mix(background, colour, 0.85 * shade / (SHADES - 1))
    if shade <= 1:
        return style(colour, ground)
    dark = float(np.dot(ground, _LIGHT)) < 128
    return style((255, 255, 255) if dark else (0, 0, 0), ground)
