"""Which map deserves trust: areas under the deletion and insertion curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flowtui.engine.results import LayerResult, Run
from flowtui.engine.shapes import MAPS

from .parts import Summary, each, layers_of, one

CURVES = ("deletion", "insertion")


def content(run: Run, layer: int | None) -> Summary | None:
    """Areas of each map at each layer, and those of random orders; of one layer also the curves."""
    analysis = run.analyses.get("faithfulness")
    if analysis is None:
        return None
    layers = layers_of(run, "faithfulness", layer)
    maps: dict[str, Summary] = {
        name: {
            **{f"{curve}_auc": each(analysis, layers, _area_of(curve, i)) for curve in CURVES},
            "ranked": each(analysis, layers, _ranked(i)),
        }
        for i, name in enumerate(MAPS)
    }
    # The random orders are the same for every layer.
    first = next((analysis.layers[k] for k in layers if k in analysis.layers), None)
    random: Summary = {f"{curve}_auc": None if first is None else area(first, curve, len(MAPS)) for curve in CURVES}
    result = one(analysis, layer)
    if result is not None:
        for i, target in enumerate((*maps.values(), random)):
            target |= {curve: _floats(result.arrays[curve][i]) for curve in CURVES}
    return {
        "site": analysis.parameters.get("site", "post_attention"),
        "fraction": None if first is None else _floats(first.arrays["fraction"]),
        "maps": maps,
        "random": random,
    }


def curves(run: Run) -> list[Summary]:
    """Every layer's whole curves: layer, fraction, and by kind of curve and map the probabilities [S]."""
    analysis = run.analyses["faithfulness"]
    return [
        {
            "layer": layer,
            "fraction": _floats(result.arrays["fraction"]),
            **{c: {name: _floats(result.arrays[c][i]) for i, name in enumerate((*MAPS, "random"))} for c in CURVES},
        }
        for layer, result in sorted(analysis.layers.items())
    ]


def area(result: LayerResult, curve: str, row: int) -> float:
    """Area under one curve over the fraction of image tokens, by trapezoids in float64: 0 to 1."""
    y = np.asarray(result.arrays[curve][row], dtype=np.float64)
    return float(np.trapezoid(y, np.asarray(result.arrays["fraction"], dtype=np.float64)))


def _area_of(curve: str, row: int) -> Callable[[LayerResult], float]:
    return lambda result: area(result, curve, row)


def _ranked(row: int) -> Callable[[LayerResult], bool]:
    return lambda result: bool(result.arrays["ranked"][row])


def _floats(values: Any) -> list[float]:
    made: list[float] = np.asarray(values, dtype=np.float64).tolist()
    return made
