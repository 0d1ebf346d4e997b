"""LLaVA-CAM's maps."""

from __future__ import annotations

import numpy as np

from flowtui.engine.results import Run

from .grids import grid_heat, peak_cell
from .parts import Summary, each, layers_of, one


def content(run: Run, layer: int | None) -> Summary | None:
    """Where each layer's map peaks; of one layer also the map."""
    analysis = run.analyses.get("cam")
    if analysis is None:
        return None
    peaks = each(analysis, layers_of(run, "cam", layer), lambda result: peak_cell(run, result.arrays["heat"][0]))
    first = next((grid for span in run.tokens.spans if (grid := run.tokens.grid_of(span))), None)
    made: Summary = {
        "variant": analysis.parameters.get("variant", "paper"),
        "site": analysis.parameters.get("site", "post_attention"),
        "grid": None if first is None else [first[0], first[1]],
        "peak": [None if p is None else [p[1], p[2]] for p in peaks],
        "peak_span": [None if p is None else p[0] for p in peaks],
    }
    result = one(analysis, layer)
    if result is not None:
        grids = grid_heat(run, np.asarray(result.arrays["heat"][0], dtype=np.float64))
        made["heat"] = [None if grid is None else grid.tolist() for grid in grids]
    return made
