"""Pixels as characters: the glyph alone tells the value, so it reads without any colour."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .ink import Rgb

RAMP = " .:-=+*#%@"
"""From nothing to most, all ASCII."""


@lru_cache(maxsize=1 << 14)
def _style(foreground: int, background: Rgb) -> Style:
    front = Color.from_rgb(foreground >> 16, foreground >> 8 & 255, foreground & 255)
    return Style.from_color(front, Color.from_rgb(*background))


def glyphs(values: NDArray[np.floating]) -> list[str]:
    """Values in 0..1 [rows cols] as one string a row; NaN counts as nothing, anything above zero shows."""
    value = np.clip(np.nan_to_num(values), 0, 1)
    steps = np.rint(value * (len(RAMP) - 1)).astype(int)
    steps = np.where((value > 0.02) & (steps == 0), 1, steps)
    return ["".join(RAMP[s] for s in row) for row in steps.tolist()]


def readable(rgb: NDArray[np.uint8], background: Rgb) -> NDArray[np.uint8]:
    """Colours pulled away from the background far enough to be read on it: [... 3] uint8."""
    weights = np.array([0.299, 0.587, 0.114])
    light = rgb @ weights
    # Thresholds on 0..255 brightness: at least 90 away from the ground.
    ground = float(np.dot(background, weights))
    if ground < 128:
        lift = np.clip((ground + 90 - light) / np.maximum(1, 255 - light), 0, 1)[..., None]
        return np.asarray(rgb + (255 - rgb.astype(np.float64)) * lift, dtype=np.uint8)
    drop = np.clip((ground - 90) / np.maximum(1, light), 0, 1)[..., None]
    return np.asarray(rgb * drop, dtype=np.uint8)


def characters(values: NDArray[np.floating], rgb: NDArray[np.uint8], background: Rgb) -> list[Strip]:
    """Draws values in 0..1 [rows cols], NaN for nothing, as glyphs; the rest as `lettered`."""
    return lettered(glyphs(values), rgb, background)


def lettered(texts: list[str], rgb: NDArray[np.uint8], background: Rgb) -> list[Strip]:
    """Draws glyphs in colours.

    Args:
        texts: `rows` strings of `cols` glyphs.
        rgb: [rows cols 3] their colours.
        background: Colour behind the glyphs.

    Returns:
        `rows` strips of `cols` cells.
    """
    packed = (readable(rgb, background) & 0xF8).astype(np.int32) @ np.array([65536, 256, 1])
    strips = []
    for text, colours in zip(texts, packed.tolist(), strict=True):
        runs = groupby(zip(text, colours, strict=True), key=lambda pair: pair[1])
        segments = [Segment("".join(c for c, _ in run), _style(shade, background)) for shade, run in runs]
        strips.append(Strip(segments, len(text)))
    return strips
