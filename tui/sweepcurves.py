"""Every curve of a sweep with its bands and its cliff: one for each metric and each way of cutting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.noninferiority import MARGIN, Curve, find_curve
from flowtui.engine.sweeps.result import CurveSet, Sweep
from flowtui.errors import UsageError

from .text import visible


@dataclass(frozen=True, slots=True)
class SweepCurve:
    """One of them.

    Attributes:
        metric, cut: Their names, as the sweep has them.
        curve: What was found.
    """

    metric: str
    cut: str
    curve: Curve


def sweep_curves(sweep: Sweep) -> list[SweepCurve]:
    """Finds them all; about a second each.

    Raises:
        UsageError: There is nothing to find them from.
    """
    cuts = [(metric, one) for metric in counted_metrics(sweep) for one in sweep.curves]
    return [SweepCurve(metric, one.label, sweep_curve(sweep, metric, one)) for metric, one in cuts]


def counted_metrics(sweep: Sweep) -> tuple[str, ...]:
    """The metrics in which some item with an image counts."""
    return tuple(name for name in sweep.metrics if _counted(sweep, name, sweep.curves[0]).any())


def is_share(sweep: Sweep, metric: str) -> bool:
    """Whether a metric is a part of one; for a data set that this flowtui does not know, all are taken to be."""
    from flowtui.engine.metrics.table import METRICS

    known = METRICS.get(sweep.dataset)
    return known is None or metric not in known.names or known.is_share(metric)


def sweep_curve(sweep: Sweep, metric: str, cut: CurveSet) -> Curve:
    """The curve of the items that have an image to cut and a part in the metric.

    Args:
        sweep: The sweep.
        metric: One of its metrics.
        cut: One of its ways of cutting.

    Raises:
        UsageError: There is nothing to find it from.
    """
    counted = np.flatnonzero(_counted(sweep, metric, cut))
    if not len(counted):
        raise UsageError(f"No item with an image has a part in {visible(metric)}.")
    over, under = sweep.counts(metric, cut)
    return find_curve(
        over[counted],
        under[counted],
        sweep.clusters[counted],
        margin=margin_of(sweep),
        lower_is_better=sweep.metrics[metric],
    )


def margin_of(sweep: Sweep) -> float:
    """What a cut may lose, as the sweep was told, in units of the score."""
    told = sweep.options.get("margin")
    return float(told) if isinstance(told, (int, float)) and 0 < told < 1 else MARGIN


def _counted(sweep: Sweep, metric: str, cut: CurveSet) -> NDArray[np.bool_]:
    """[items]: which have an image, and count at some K."""
    counts = np.asarray((sweep.counts(metric, cut)[1] > 0).any(axis=1), dtype=np.bool_)
    return counts & sweep.with_image
