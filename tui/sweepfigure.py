"""The paper's Figure 5 of a sweep: a data set's score with the image cut at every K, with bands and the cliff.

Source: Zhang et al., NAACL 2025, Figure 5. The paper draws the means alone; bands and cliff are docs/method.md's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flowtui.engine.noninferiority import Curve
from flowtui.engine.sweeps.result import Sweep
from flowtui.errors import UsageError

from .charts import COLOURS
from .figures import COLUMN_IN, FORMATS, PAGE_IN, STYLE, metadata, new_figure, style
from .series import csv_bytes
from .sweepcurves import SweepCurve, is_share, sweep_curves
from .text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "5"
ROW_IN = 1.9
MOST_IN_A_COLUMN, ACROSS = 2, 3
"""More metrics than that stand beside each other, so many in a row."""
CURVE_HEADER = ("metric", "cut", "k", "score", "difference", "low", "high", "bound", "cliff")


def write_sweep_figure(sweep: Sweep, format: str, folder: Path, command: str) -> list[Path]:
    """Writes the figure and its data into a folder.

    Args:
        sweep: The sweep.
        format: One of `FORMATS`.
        folder: Where to; made if missing.
        command: The command that asked for it, kept in the figure's metadata.

    Raises:
        UsageError: No such format, or matplotlib is missing.
        OSError: A file cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"Figures are not written as {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    path = folder / f"figure-{NAME}.{format}"
    with style():
        curves = sweep_curves(sweep)
        folder.mkdir(parents=True, exist_ok=True)
        draw(sweep, curves).savefig(path, metadata=metadata(format, NAME, command))
    table = path.with_suffix(".csv")
    table.write_bytes(csv_bytes(CURVE_HEADER, curve_rows(curves)))
    return [path, table]


def draw(sweep: Sweep, curves: Sequence[SweepCurve]) -> Figure:
    """One plot for each metric, all ways of cutting in it; many metrics take the page's whole width."""
    metrics = list(dict.fromkeys(one.metric for one in curves))
    across = 1 if len(metrics) <= MOST_IN_A_COLUMN else ACROSS
    down = -(-len(metrics) // across)
    made = new_figure(COLUMN_IN if across == 1 else PAGE_IN, ROW_IN * down + 0.5)
    plots = made.subplots(down, across, sharex=True, squeeze=False).ravel()
    for at in plots[len(metrics) :]:
        at.axis("off")
    for at, metric in zip(plots, metrics, strict=False):
        of_metric = [one for one in curves if one.metric == metric]
        unit = 100.0 if is_share(sweep, metric) else 1.0
        for colour, one in zip(COLOURS, of_metric, strict=False):
            _line(at, one, colour, unit, lower=sweep.metrics[metric], level=one is of_metric[0])
        better = ",\nlower is better" if sweep.metrics[metric] else ""
        at.set(ylabel=f"{visible(metric)}{', %' if unit > 1 else ''}{better}")
        at.set_title(_cliffs(of_metric), loc="left", fontsize=STYLE["legend.fontsize"])
    lines, labels = plots[0].get_legend_handles_labels()
    # Over the plots, where no line passes.
    made.legend(
        lines, labels, loc="outside upper center", ncols=3, frameon=False, title=_title(sweep, curves), handlelength=1.5
    )
    made.supxlabel("K: leading layers that see the image", fontsize=STYLE["axes.labelsize"])
    return made


def _line(at: Axes, one: SweepCurve, colour: str, unit: float, *, lower: bool, level: bool) -> None:
    """Score, bands, the cliff with its interval; once per plot the untouched model and what the margin allows."""
    curve, label = one.curve, visible(one.cut)
    k, sign = np.arange(len(curve.score)), -1 if lower else 1
    whole = float(curve.score[-1])
    if level:
        at.axhline(unit * whole, color="0.5", linewidth=0.6, linestyle=":")
        at.axhline(unit * (whole - sign * curve.margin), color="0.7", linewidth=0.6, linestyle="--")
    low, high = (unit * (whole + sign * edge) for edge in (curve.low, curve.high))
    if unit > 1:
        # No share is above 100 %, however little is known of it.
        low, high = np.clip(low, 0, unit), np.clip(high, 0, unit)
    at.fill_between(k, low, high, color=colour, alpha=0.18, linewidth=0)
    at.plot(k, unit * curve.score, color=colour, label="all image tokens cut" if label == "all" else f"all but {label}")
    if curve.k is not None:
        at.axvspan(*curve.interval, color=colour, alpha=0.08, linewidth=0)
        at.axvline(curve.k, color=colour, linewidth=0.8, linestyle="--")


def _cliffs(curves: Sequence[SweepCurve]) -> str:
    """The cliff of each way of cutting, with its interval."""
    found = []
    for one in curves:
        first, last = one.curve.interval
        cliff = "none" if one.curve.k is None else f"K = {one.curve.k} ({first}–{last})"
        found.append(cliff if len(curves) == 1 else f"{visible(one.cut)} {cliff}")
    return "no cliff" if all(one.curve.k is None for one in curves) else f"cliff: {', '.join(found)}"


def _title(sweep: Sweep, curves: Sequence[SweepCurve]) -> str:
    first = curves[0].curve
    return f"{visible(sweep.dataset)}, {visible(sweep.model.name)}: {first.items} items on {first.clusters} images"


def curve_rows(curves: Sequence[SweepCurve]) -> list[Sequence[Any]]:
    """Rows under `CURVE_HEADER`: scores and differences in units of the score, the cliff empty where there is none."""
    return [
        (visible(one.metric), visible(one.cut), k, *(float(values[k]) for values in _columns(one.curve)), one.curve.k)
        for one in curves
        for k in range(len(one.curve.score))
    ]


def _columns(curve: Curve) -> Sequence[np.ndarray]:
    return (curve.score, curve.difference, curve.low, curve.high, curve.bound)
