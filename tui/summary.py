"""A run as the plain, light content that `flowtui show --json` prints and the tables are drawn from.

Everything here is derived from the stored rows, in float64, at the moment it is asked for. Missing analyses are None,
and so is a missing layer inside an analysis that is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.cliff import find_cliff
from flowtui.engine.place import resolve_model
from flowtui.engine.results import GROUPS, Analysis, LayerResult, Run
from flowtui.errors import ModelError, UsageError

Summary = dict[str, Any]
T = TypeVar("T")


def summarise(run: Run, layer: int | None = None) -> Summary:
    """The content of `show --json`.

    Args:
        run: The run.
        layer: Reduce the lists over layers (and over K) to this one, and add what one layer has beyond them: every
            head's and every answer token's shares, and the heat map.

    Returns:
        Plain data, JSON-ready. `groups` are half-open ranges; `attention.share` is the mean over heads and answer
        tokens; `cam.peak` is the hottest cell of the map of all answer tokens together, in the grid of
        `tokens.spans[cam.peak_span[layer]]`; `truncation.logprob` is summed over the answer and `truncation.kl` its
        mean per answer token, in nats.

    Raises:
        UsageError: The run's model has no such layer.
    """
    if layer is not None and not 0 <= layer <= run.model.layers:
        raise UsageError(
            f"There is no layer {layer}; the model has layers 0 to {run.model.layers - 1}.",
            f"{run.model.layers} is allowed too: the untouched model of the truncation curve.",
        )
    content: Summary = {
        "model": run.model.name,
        "model_dir": _model_dir(run),
        "layers": run.model.layers,
        "image_tokens": len(run.tokens.image_positions),
        "tokens": {
            "ids": run.tokens.ids.tolist(),
            "text": list(run.tokens.text),
            "group": [GROUPS[g] for g in run.tokens.group],
            "spans": [asdict(span) | {"box_px": list(span.box_px)} for span in run.tokens.spans],
        },
        "groups": {name: _range(run, i) for i, name in enumerate(GROUPS)},
        "answer": {"text": run.answer.text, "tokens": list(run.answer.tokens), "ids": list(run.answer.ids)},
        "attention": _attention(run, layer),
        "cam": _cam(run, layer),
        "saliency": None,
        "truncation": _truncation(run, layer),
        "cliff": _cliff(run),
        "lens": None,
        "timings_s": dict(run.timings_s),
    }
    return content if layer is None else {"layer": layer, **content}


def grid_heat(run: Run, heat: NDArray[Any]) -> list[NDArray[Any] | None]:
    """One map over image tokens [n] on the grid of each span, [rows cols]; None where a span has no grid."""
    return [run.tokens.on_grid(heat, span) if span.rows and span.cols else None for span in run.tokens.spans]


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


def mean_share(result: LayerResult) -> NDArray[np.float64] | None:
    """Attention shares of one layer, mean over answer tokens and heads: [4] float64, in the order of `GROUPS`.

    None where the answer has no token, and so no row to take a mean over.
    """
    share = np.asarray(result.arrays["share"], dtype=np.float64)
    return share.mean(axis=(0, 1)) if share.size else None


def mean_kl(result: LayerResult) -> float | None:
    """KL(full || truncated) per answer token at one K, nats; None where the answer has no token."""
    kl = np.asarray(result.arrays["kl"], dtype=np.float64)
    return float(kl.mean()) if kl.size else None


def _model_dir(run: Run) -> str | None:
    """The model's local directory: as loaded just now, or found again by its name; None where it is not here."""
    if run.model.directory is not None:
        return run.model.directory
    try:
        found = resolve_model(run.model.name)
    except ModelError:
        return None
    return found if Path(found).is_dir() else None


def _range(run: Run, group: int) -> list[int] | None:
    positions = np.flatnonzero(run.tokens.group == group)
    return [int(positions[0]), int(positions[-1]) + 1] if len(positions) else None


def _each(analysis: Analysis, layers: Iterable[int], make: Callable[[LayerResult], T]) -> list[T | None]:
    return [make(analysis.layers[k]) if k in analysis.layers else None for k in layers]


def _one(analysis: Analysis, layer: int | None) -> LayerResult | None:
    return None if layer is None else analysis.layers.get(layer)


def _layers(run: Run, analysis: str, layer: int | None) -> range | list[int]:
    expected = run.expected(analysis)
    return expected if layer is None else [k for k in expected if k == layer]


def _attention(run: Run, layer: int | None) -> Summary | None:
    analysis = run.analyses.get("attention")
    if analysis is None:
        return None
    shares = _each(analysis, _layers(run, "attention", layer), mean_share)
    content: Summary = {
        "rule": "all",
        "rows": analysis.parameters.get("rows", "predict"),
        "share": {g: [None if s is None else float(s[i]) for s in shares] for i, g in enumerate(GROUPS)},
    }
    one = _one(analysis, layer)
    if one is not None and len(run.answer.ids):
        share = np.asarray(one.arrays["share"], dtype=np.float64)
        content["heads"] = _by_group(share.mean(axis=0))
        content["answer_tokens"] = _by_group(share.mean(axis=1))
    return content


def _by_group(rows: NDArray[np.float64]) -> Mapping[str, list[float]]:
    return {g: rows[:, i].tolist() for i, g in enumerate(GROUPS)}


def _cam(run: Run, layer: int | None) -> Summary | None:
    analysis = run.analyses.get("cam")
    if analysis is None:
        return None
    peaks = _each(analysis, _layers(run, "cam", layer), lambda result: peak_cell(run, result.arrays["heat"][0]))
    first = next((span for span in run.tokens.spans if span.rows and span.cols), None)
    content: Summary = {
        "variant": analysis.parameters.get("variant", "paper"),
        "site": analysis.parameters.get("site", "post_attention"),
        "grid": None if first is None else [first.rows, first.cols],
        "peak": [None if p is None else [p[1], p[2]] for p in peaks],
        "peak_span": [None if p is None else p[0] for p in peaks],
    }
    one = _one(analysis, layer)
    if one is not None:
        grids = grid_heat(run, np.asarray(one.arrays["heat"][0], dtype=np.float64))
        content["heat"] = [None if grid is None else grid.tolist() for grid in grids]
    return content


def _truncation(run: Run, layer: int | None) -> Summary | None:
    analysis = run.analyses.get("truncation")
    if analysis is None:
        return None
    ks = _layers(run, "truncation", layer)
    return {
        "strategy": analysis.parameters.get("strategy", "all"),
        "k": list(ks),
        "logprob": _each(analysis, ks, lambda r: float(r.arrays["logprob"].sum(dtype=np.float64))),
        "kl": _each(analysis, ks, mean_kl),
        "same_answer": _each(analysis, ks, lambda r: bool(r.arrays["same"])),
        "text": _each(analysis, ks, lambda r: r.text),
    }


def _cliff(run: Run) -> Summary | None:
    analysis = run.analyses.get("truncation")
    cliff = None if analysis is None else find_cliff(analysis, run.model.layers)
    return None if cliff is None else {"k": cliff.k, "rule": cliff.rule, "eta": cliff.eta}
