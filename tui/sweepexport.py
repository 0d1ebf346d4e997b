"""A sweep as files that other programs open: Figure 5 with its data, and the items at every K.

pdf, png, svg    Figure 5 of the sweep, its data as CSV beside it
csv              the curves, and what every item answers and counts at every K
json             the same in one file
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import join
from typing import Any

from flowtui.engine.sweeps.result import Sweep

from .series import csv_bytes
from .sweepcurves import sweep_curves
from .sweepfigure import CURVE_HEADER, curve_rows, write_sweep_figure
from .table import to_json
from .text import visible

FORMATS = ("pdf", "png", "svg", "csv", "json")


def export_sweep(sweep: Sweep, format: str, folder: Path, command: str) -> list[Path]:
    """Writes files into a folder, which is made where it is missing; files of the same names are replaced.

    Args:
        sweep: The sweep.
        format: One of `FORMATS`.
        folder: Where to.
        command: The command that asked for it, kept in a figure's metadata.

    Raises:
        UsageError: No such format, or matplotlib is missing.
        OSError: A file cannot be written.
    """
    if format not in ("csv", "json"):
        return write_sweep_figure(sweep, format, folder, command)
    curves = curve_rows(sweep_curves(sweep))
    folder.mkdir(parents=True, exist_ok=True)
    if format == "csv":
        items = csv_bytes(item_header(sweep), _items(sweep))
        files = {"curves.csv": csv_bytes(CURVE_HEADER, curves), "items.csv": items}
    else:
        plain = {
            "dataset": visible(sweep.dataset),
            "model": visible(sweep.model.name),
            "curves": [dict(zip(CURVE_HEADER, row, strict=True)) for row in curves],
            "items": [dict(zip(item_header(sweep), row, strict=True)) for row in _items(sweep)],
        }
        files = {"sweep.json": to_json(plain).encode()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def command_for(path: Path | None, format: str, folder: Path) -> str:
    """The command that writes the same."""
    name = "SWEEP.pkl" if path is None else path.name
    what = () if format in ("csv", "json") else ("--figure", "5")
    return join(("flowtui", "export", name, *what, "--format", format, "-o", folder.name or str(folder)))


def item_header(sweep: Sweep) -> Sequence[str]:
    """Names of the columns of the items' table; each metric has its numerator and denominator."""
    counts = [f"{visible(metric)}_{part}" for metric in sweep.metrics for part in ("of", "out_of")]
    return ("cut", "id", "kind", "image", "k", "text", "same", "logprob", "kl", *counts)


def _items(sweep: Sweep) -> Iterator[Sequence[Any]]:
    for cut in sweep.curves:
        for i, item in enumerate(sweep.items):
            who = (visible(cut.label), visible(item.id), visible(item.kind), item.image and visible(item.image))
            for k in range(sweep.layers + 1):
                index = int(cut.text[i, k])
                counts = [part for metric in sweep.metrics for part in item.counts[metric][index]]
                yield (*who, k, visible(item.texts[index]), bool(cut.same[i, k]), float(cut.logprob[i, k]),
                       float(cut.kl[i, k]), *counts)  # fmt: skip
