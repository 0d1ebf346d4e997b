"""Saliency flow between token groups, and the maps over the image."""

from __future__ import annotations

import numpy as np

from flowtui.engine.results import GROUPS, LayerResult, Run

from .grids import MAP_OF, grid_heat, peak_cell
from .parts import Summary, each, layers_of, one

FLOWS = (
    "image->answer",
    "system->answer",
    "user->answer",
    "answer->answer",
    "image->user",
    "system->user",
    "system->image",
)
"""Key's group to query's group. The answer's queries are its answer rows."""


def content(run: Run, layer: int | None) -> Summary | None:
    """Flows at each layer and where each layer's map peaks; of one layer also the map."""
    analysis = run.analyses.get("saliency")
    if analysis is None:
        return None
    layers = layers_of(run, "saliency", layer)
    flows = each(analysis, layers, lambda result: np.asarray(result.arrays["flow"], dtype=np.float64))
    peaks = each(analysis, layers, lambda result: _peak(run, result))
    made: Summary = {
        "flow": {name: [None if f is None else float(f[_place(name)]) for f in flows] for name in FLOWS},
        "peak": [None if p is None else [p[1], p[2]] for p in peaks],
        "peak_span": [None if p is None else p[0] for p in peaks],
    }
    result = one(analysis, layer)
    heat = None if result is None else MAP_OF["saliency"](result)
    if heat is not None:
        made["heat"] = [None if grid is None else grid.tolist() for grid in grid_heat(run, heat)]
    return made


def _place(name: str) -> tuple[int, int]:
    """Row (query's group) and column (key's group) of a flow."""
    key, query = name.split("->")
    return GROUPS.index(query), GROUPS.index(key)


def _peak(run: Run, result: LayerResult) -> tuple[int, int, int] | None:
    heat = MAP_OF["saliency"](result)
    return None if heat is None else peak_cell(run, heat)
