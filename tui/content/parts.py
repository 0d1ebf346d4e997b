"""What every analysis' content is made with: its layers in order, and None for those that are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from flowtui.engine.results import Analysis, LayerResult, Run

Summary = dict[str, Any]
T = TypeVar("T")


def layers_of(run: Run, analysis: str, layer: int | None) -> list[int]:
    """The layers (or K) that content is about: all that the analysis has, or the one asked for where it has that."""
    return [k for k in run.expected(analysis) if layer is None or k == layer]


def each(analysis: Analysis, layers: Iterable[int], make: Callable[[LayerResult], T]) -> list[T | None]:
    """Something made of each of these layers, None where a layer is missing."""
    return [make(analysis.layers[k]) if k in analysis.layers else None for k in layers]


def one(analysis: Analysis, layer: int | None) -> LayerResult | None:
    """The result of the one layer asked for; None where all are, or where it is missing."""
    return None if layer is None else analysis.layers.get(layer)
