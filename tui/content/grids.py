"""Maps over image tokens, on the grids of the spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import LayerResult, Run


def _mean_row(result: LayerResult) -> NDArray[Any] | None:
    rows = np.asarray(result.arrays["image_rows"], dtype=np.float64)
    return rows.mean(axis=0) if len(rows) else None


MAP_OF: dict[str, Callable[[LayerResult], NDArray[Any] | None]] = {
    "cam": lambda result: np.asarray(result.arrays["heat"][0]),
    "attention": _mean_row,
    "saliency": _mean_row,
}
"""The map over image tokens [n] of one layer, all answer tokens together, by analysis; None where there is no token."""
MAP_NAMES = {"cam": "LLaVA-CAM", "attention": "Attention share", "saliency": "Saliency"}


def map_value(name: str, value: float) -> str:
    """A value of a map with its unit."""
    return f"{100 * value:.3g} %" if name == "attention" else f"{value:.3g}"


def grid_heat(run: Run, heat: NDArray[Any]) -> list[NDArray[Any] | None]:
    """One map over image tokens [n] on the grid of each span, [rows cols]; None where a span has no grid."""
    return [run.tokens.on_grid(heat, span) if run.tokens.grid_of(span) else None for span in run.tokens.spans]


def peak_cell(run: Run, heat: NDArray[Any]) -> tuple[int, int, int] | None:
    """The hottest cell of a map over image tokens [n]: (span, row, col); None for an all-zero map.

    Cells of separator tokens belong to no grid and cannot be the peak; of equal cells the first in reading order wins.
    """
    best: tuple[int, int, int] | None = None
    highest = 0.0
    for i, grid in enumerate(grid_heat(run, heat)):
        if grid is not None and float(grid.max()) > highest:
            highest = float(grid.max())
            row, col = np.unravel_index(int(grid.argmax()), grid.shape)
            best = (i, int(row), int(col))
    return best
