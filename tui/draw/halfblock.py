"""Pixels as half blocks: two pixels a cell, the upper one in the foreground colour."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

UPPER = "▀"


@lru_cache(maxsize=1 << 15)
def _style(upper: int, lower: int) -> Style:
    return Style.from_color(
        Color.from_rgb(upper >> 16, upper >> 8 & 255, upper & 255),
        Color.from_rgb(lower >> 16, lower >> 8 & 255, lower & 255),
    )


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
    for upper, lower in zip(packed[0::2].tolist(), packed[1::2].tolist(), strict=True):
        runs = groupby(zip(upper, lower, strict=True))
        strips.append(Strip([Segment(UPPER * sum(1 for _ in run), _style(*pair)) for pair, run in runs], width))
    return strips
