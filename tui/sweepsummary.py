"""A sweep's content as plain data: curves, the paper's Table 1 with intervals and verdicts, and what flips."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.klscreen import find_screen
from flowtui.engine.noninferiority import LEVEL, Curve
from flowtui.engine.sweeps.result import CurveSet, Sweep

from .sweepcurves import counted_metrics, is_share, sweep_curve
from .sweeptraits import compare

SweepSummary = dict[str, Any]


def summarise_sweep(sweep: Sweep, at: int | None = None) -> SweepSummary:
    """Everything that `flowtui show` prints of a sweep.

    Args:
        sweep: The sweep.
        at: K at which kept and lost answers are compared; None for the last one before the cliff.
    """
    image = sweep.with_image
    rows = (
        []
        if not image.any()
        else [_row(sweep, metric, cut) for metric in counted_metrics(sweep) for cut in sweep.curves]
    )
    first = rows[0]["cliff"] if rows else None
    k = at if at is not None else first - 1 if first else sweep.layers // 2
    return {
        "dataset": sweep.dataset,
        "notes": list(sweep.notes),
        "model": sweep.model.name,
        "layers": sweep.layers,
        "items": len(sweep.items),
        "images": len({item.cluster for item in sweep.items if item.image is not None}),
        "options": dict(sweep.options),
        "curves": [_curve(cut, image) for cut in sweep.curves] if image.any() else [],
        "rows": rows,
        "screens": [_screen(sweep, cut, image) for cut in sweep.curves] if image.any() else [],
        "text_only": _text_only(sweep),
        "traits": compare(sweep, k),
    }


def _curve(cut: CurveSet, image: NDArray[np.bool_]) -> dict[str, Any]:
    """What does not depend on a metric: means over the items with an image."""
    return {
        "cut": cut.label,
        "k": list(range(cut.kl.shape[1])),
        "same": cut.same[image].mean(0).tolist(),
        "kl": cut.kl[image].mean(0, dtype=np.float64).tolist(),
        "logprob": cut.logprob[image].mean(0, dtype=np.float64).tolist(),
    }


def _screen(sweep: Sweep, cut: CurveSet, image: NDArray[np.bool_]) -> dict[str, Any]:
    """How far the KL alone tells that an answer stays, at each threshold: what decoding could be saved."""
    clusters = np.array([item.cluster for item in sweep.items])[image]
    found = find_screen(cut.kl[image], cut.same[image], clusters)
    return {
        "cut": cut.label,
        "eta": found.eta.tolist(),
        "passed": found.passed.tolist(),
        "changed": found.changed.tolist(),
        "changed_interval": np.stack([found.low, found.high], 1).tolist(),
        "tolerance": found.tolerance,
        "chosen": found.chosen,
        "verdict": found.verdict,
    }


def _row(sweep: Sweep, metric: str, cut: CurveSet) -> dict[str, Any]:
    """One line of Table 1, with the curve that it is read off."""
    curve = sweep_curve(sweep, metric, cut)
    k = curve.k
    return {
        "metric": metric,
        "lower_is_better": sweep.metrics[metric],
        "percent": is_share(sweep, metric),
        "cut": cut.label,
        "baseline": float(curve.score[-1]),
        "baseline_interval": _between(curve, sweep.layers),
        "cliff": k,
        "cliff_interval": list(curve.interval),
        "at_cliff": None if k is None else float(curve.score[k]),
        "at_cliff_interval": None if k is None else _between(curve, k),
        "margin": curve.margin,
        "level": LEVEL,
        "items_counted": curve.items,
        "items_needed": curve.needed,
        "verdict": curve.verdict,
        "gain_verdict": curve.gain_verdict,
        "score": curve.score.tolist(),
        "score_low": curve.score_low.tolist(),
        "score_high": curve.score_high.tolist(),
    }


def _between(curve: Curve, k: int) -> list[float]:
    return [float(curve.score_low[k]), float(curve.score_high[k])]


def _text_only(sweep: Sweep) -> dict[str, float] | None:
    """Scores of the items without an image, apart: there is nothing to cut."""
    rest = ~sweep.with_image
    if not rest.any():
        return None
    scores = {}
    for metric in sweep.metrics:
        numerator, denominator = sweep.counts(metric, sweep.curves[0])
        if denominator[rest, -1].sum() > 0:
            scores[metric] = float(numerator[rest, -1].sum() / denominator[rest, -1].sum())
    return scores
