"""Pixels as half blocks: two pixels a cell, the upper one in the foreground colour."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from rich.color import Color, ColorType
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

UPPER = "▀"


@lru_cache(maxsize=1 << 15)
def _style(upper: int, lower: int) -> Style:
    return Style.from_color(_colour(upper), _colour(lower))


@lru_cache(maxsize=1 << 15)
def _colour(packed: int) -> Color:
    # The name is only ever shown to people; rich's own constructor spends most of its time on it.
    return Color("", ColorType.TRUECOLOR, None, ColorTriplet(packed >> 16, packed >> 8 & 255, packed & 255))


def half_blocks(rgb: NDArray[np.uint8]) -> list[Strip]:
    """Draws pixels.

    Args:
        rgb: [2*rows cols 3] uint8.

    Returns:
        `rows` strips of `cols` cells.

    Raises:
        ValueError: The number of pixel rows is odd.
    """
    height, width = rgb.shape[:2]
    if height % 2:
        raise ValueError(f"half blocks need an even number of pixel rows, not {height}")
    # Two bits less of colour are not seen in cells this large, and make neighbours alike: shorter lines to send.
    packed = (rgb & 0xFC).astype(np.int32) @ np.array([65536, 256, 1])
    strips = []
    for upper, lower in zip(packed[0::2], packed[1::2], strict=True):
        changes = np.flatnonzero((upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1])) + 1
        starts = [0, *changes.tolist()] if width else []
        counts = np.diff([*starts, width]).tolist()
        colours = zip(upper[starts].tolist(), lower[starts].tolist(), counts, strict=True)
        strips.append(Strip([Segment(UPPER * count, _style(above, below)) for above, below, count in colours], width))
    return strips
