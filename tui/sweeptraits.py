"""How the untouched model looks at the image where its answer needs the image, and where it does not, per layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtui.engine.sweeps.result import Sweep

GROUPS = ("kept", "lost", "gained", "other")
"""Right and still right with the image cut at K; right and then wrong; wrong and then right; wrong both times."""


def compare(sweep: Sweep, k: int) -> dict[str, Any] | None:
    """Means of each trait over the items of each group, and lost minus kept with its standard error.

    An item is right when its data set's metric counts it in full. The image is cut by the sweep's first strategy.

    Args:
        sweep: The sweep.
        k: The K at which the image is cut, 0..L-1.

    Returns:
        Plain data; None where the sweep holds no traits. Values are None where no item has any.
    """
    if sweep.traits is None:
        return None
    metric = next(iter(sweep.metrics))
    numerator, denominator = sweep.counts(metric, sweep.curves[0])
    right = (numerator >= denominator) & (denominator > 0)
    before, after = right[sweep.traits.items, -1], right[sweep.traits.items, k]
    member = {"kept": before & after, "lost": before & ~after, "gained": ~before & after, "other": ~before & ~after}
    values = {}
    for name, rows in sweep.traits.values.items():
        wide = rows.astype(np.float64)
        means = {group: _mean(wide[chosen]) for group, chosen in member.items()}
        values[name] = {
            **{group: _plain(mean) for group, (mean, _) in means.items()},
            "difference": _plain(means["lost"][0] - means["kept"][0]),
            "error": _plain(np.sqrt(means["lost"][1] + means["kept"][1])),
        }
    counts = {group: int(chosen.sum()) for group, chosen in member.items()}
    return {"k": k, "metric": metric, "cut": sweep.curves[0].label, "items": counts, "values": values}


def _mean(rows: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Any, Any]:
    """Mean and its variance over the rows that are there, layer by layer: [L] each, NaN where there is none."""
    there = np.isfinite(rows)
    count = there.sum(0)
    total = np.where(there, rows, 0).sum(0)
    mean = np.divide(total, count, out=np.full(rows.shape[1], np.nan), where=count > 0)
    square = np.where(there, (rows - mean) ** 2, 0).sum(0)
    variance = np.divide(square, count * (count - 1), out=np.full(rows.shape[1], np.nan), where=count > 1)
    return mean, variance


def _plain(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
