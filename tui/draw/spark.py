"""Spark lines and bars of block characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EIGHTHS_UP = " ▁▂▃▄▅▆▇█"
EIGHTHS_RIGHT = " ▏▎▍▌▋▊▉█"
MISSING = "·"


def spark(values: NDArray[np.floating], high: float, height: int = 1) -> list[str]:
    """Values as columns of eighths, from 0 at the bottom.

    Args:
        values: [width]; NaN where nothing is known.
        high: The value that fills the whole height; everything else is clipped to it.
        height: Lines.

    Returns:
        `height` strings of `width` characters, top first. A value above zero always shows at least one eighth.
    """
    known = np.isfinite(values)
    level = np.zeros(len(values))
    if high > 0:
        level[known] = np.clip(np.asarray(values)[known] / high, 0, 1) * height * 8
    eighths = np.where(level > 0, np.maximum(1, np.rint(level)), 0).astype(int)
    rows = []
    for row in range(height - 1, -1, -1):
        part = np.clip(eighths - 8 * row, 0, 8)
        rows.append("".join(EIGHTHS_UP[p] for p in part))
    rows[-1] = "".join(c if k else MISSING for c, k in zip(rows[-1], known, strict=True))
    return rows


def bar(value: float, width: int) -> str:
    """A share in 0..1 as a bar in `width` cells, to an eighth of a cell; above zero always visible."""
    if not np.isfinite(value) or width <= 0:
        return " " * max(0, width)
    eighths = round(min(max(value, 0.0), 1.0) * width * 8)
    eighths = max(1, eighths) if value > 0 else eighths
    full, part = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS_RIGHT[part] if part else "")).ljust(width)
