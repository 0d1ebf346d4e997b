"""Dots finer than cells: two across and four down in each, as braille characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ACROSS, DOWN = 2, 4
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BLANK = 0x2800


def glyphs(dots: NDArray[np.bool_]) -> list[str]:
    """Dots as text.

    Args:
        dots: [4 * rows 2 * columns].

    Returns:
        One string a row; a cell without a dot is a blank.
    """
    rows, columns = dots.shape[0] // DOWN, dots.shape[1] // ACROSS
    cells = dots.reshape(rows, DOWN, columns, ACROSS).transpose(0, 2, 1, 3)
    codes = (cells * _BITS).sum(axis=(2, 3))
    return ["".join(chr(_BLANK + code) if code else " " for code in row) for row in codes.tolist()]


def draw_line(dots: NDArray[np.bool_], x: NDArray[np.floating], y: NDArray[np.floating]) -> None:
    """Draws straight pieces between points, without holes where they are steep; a piece with a missing end is left out.

    Args:
        dots: [height width], changed in place.
        x: Columns of the points, growing.
        y: Rows of the points, from the top; NaN where missing. What lies outside is drawn at the edge.
    """
    height, width = dots.shape
    known = np.isfinite(y)
    for i in np.flatnonzero(known).tolist():
        ends = [i, i + 1] if i + 1 < len(y) and known[i + 1] else [i, i]
        (x0, x1), (y0, y1) = x[ends], np.clip(y[ends], 0, height - 1)
        count = 1 + int(max(abs(x1 - x0), abs(y1 - y0)))
        across = np.rint(np.linspace(x0, x1, count + 1)).astype(int)
        down = np.rint(np.linspace(y0, y1, count + 1)).astype(int)
        dots[down, np.clip(across, 0, width - 1)] = True
