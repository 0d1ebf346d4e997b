"""A box around one cell of a map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .ink import Rgb, style

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom one past the last."""
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def framed(rgb: NDArray[np.uint8], box: Box, thick: int = 1) -> NDArray[np.uint8]:
    """The pixels with a frame around a box, outside it wherever there is room.

    Args:
        rgb: [height width 3] uint8.
        box: What the frame goes around.
        thick: Pixels of the frame. One is black or white, whichever stands out more in each place; more are white
            inside black.
    """
    made = rgb.copy()
    edge = _around(rgb.shape[0], rgb.shape[1], box, thick)
    if thick == 1:
        light = made[edge] @ np.array([0.299, 0.587, 0.114])
        made[edge] = np.where(light[:, None] < 128, 255, 0)
        return made
    made[edge] = BLACK
    made[_around(rgb.shape[0], rgb.shape[1], box, thick - 1)] = WHITE
    return made


def bracketed(strips: Sequence[Strip], box: Box, background: Rgb) -> list[Strip]:
    """Characters with brackets to both sides of a box, in cells."""
    left, top, right, bottom = box
    made = list(strips)
    sign = style(BLACK if sum(background) > 384 else WHITE, background, bold=True)
    for y in range(max(0, top), min(bottom, len(made))):
        width = made[y].cell_length
        # At the edge of the picture a bracket takes the first or last cell of the box itself.
        made[y] = _put(made[y], max(0, left - 1), "[", sign)
        made[y] = _put(made[y], min(width - 1, right), "]", sign)
    return made


def _around(height: int, width: int, box: Box, thick: int) -> NDArray[np.bool_]:
    """Which pixels lie on the frame: [height width]."""
    left, top, right, bottom = box
    mask = np.zeros((height, width), dtype=bool)
    outer = (max(0, top - thick), min(height, bottom + thick), max(0, left - thick), min(width, right + thick))
    mask[outer[0] : outer[1], outer[2] : outer[3]] = True
    # Where the box touches the edge of the picture the frame is drawn inside it, unless nothing would be left.
    inner = (outer[0] + thick, outer[1] - thick, outer[2] + thick, outer[3] - thick)
    mask[inner[0] : inner[1], inner[2] : inner[3]] = False
    return mask


def _put(strip: Strip, x: int, text: str, sign: Style) -> Strip:
    """The strip with a character in place of what is in one cell."""
    before, _, after = strip.divide([x, x + 1, strip.cell_length])
    return Strip.join([before, Strip([Segment(text, sign)], 1), after])
