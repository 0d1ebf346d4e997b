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


_STYLES: dict[int, Style] = {}
"""By both colours, packed into one number: every cell of a picture comes by here."""
MAX_STYLES = 1 << 15


def _style(pair: int) -> Style:
    if len(_STYLES) >= MAX_STYLES:
        _STYLES.clear()
    style = _STYLES[pair] = Style.from_color(_colour(pair >> 24), _colour(pair & 0xFFFFFF))
    return style


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
    packed = (rgb & 0xFC).astype(np.int64) @ np.array([65536, 256, 1])
    pairs = packed[0::2] << 24 | packed[1::2]
    known = _STYLES.get
    strips = []
    for row in pairs:
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        counts = np.diff(starts, append=width).tolist()
        cells = zip(row[starts].tolist(), counts, strict=True)
        strips.append(Strip([Segment(UPPER * count, known(pair) or _style(pair)) for pair, count in cells], width))
    return strips
