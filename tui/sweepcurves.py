"""Every curve of a sweep with its bands and its cliff: one for each metric and each way of cutting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowtui.engine.noninferiority import MARGIN, Curve, find_curve
from flowtui.engine.sweeps.result import CurveSet, Sweep


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
    cuts = [(metric, one) for metric in sweep.metrics for one in sweep.curves]
    return [SweepCurve(metric, one.label, sweep_curve(sweep, metric, one)) for metric, one in cuts]


def sweep_curve(sweep: Sweep, metric: str, cut: CurveSet) -> Curve:
    """The curve of the items that have an image to cut.

    Args:
        sweep: The sweep.
        metric: One of its metrics.
        cut: One of its ways of cutting.

    Raises:
        UsageError: There is nothing to find it from.
    """
    counted = np.flatnonzero(sweep.with_image)
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
