"""A sweep's summary as text and as CSV: a curve like the paper's Figure 5, and lines like its Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowtui.engine.sweeps.traits import TITLES

from .series import csv_bytes
from .sweepsummary import SweepSummary
from .text import visible

HEIGHT = 11
LAYER_COLUMNS = ("k", "cut", "metric", "score", "score_low", "score_high", "same", "kl", "logprob")


def to_text(summary: SweepSummary) -> str:
    """The whole summary for a person to read."""
    dataset, model = visible(summary["dataset"]), visible(summary["model"])
    head = f"{dataset}: {summary['items']} items, {summary['images']} images; {model}"
    lines = [f"{head}, {summary['layers']} layers", *map(visible, summary["notes"])]
    if summary["rows"]:
        lines += ["", *_plot(summary["rows"][0]), "", *_curves(summary), "", *_table(summary["rows"])]
        lines += ["", *_verdicts(summary["rows"], summary["screens"])]
    else:
        lines += ["", "No item has an image: there is nothing to cut."]
    if summary["text_only"]:
        scores = ", ".join(f"{name} {_score(value)}" for name, value in summary["text_only"].items())
        lines += ["", f"Items without an image, apart: {scores}"]
    if summary["traits"] is not None:
        lines += ["", *_traits(summary["traits"])]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def to_csv(summary: SweepSummary) -> str:
    """One line for each K, way of cutting and metric."""
    by_cut = {curve["cut"]: curve for curve in summary["curves"]}
    rows: list[list[Any]] = []
    for row in summary["rows"]:
        curve = by_cut[row["cut"]]
        for k in curve["k"]:
            values = [row[name][k] for name in ("score", "score_low", "score_high")]
            rows.append(
                [k, row["cut"], row["metric"], *values, *(curve[name][k] for name in ("same", "kl", "logprob"))]
            )
    return csv_bytes(LAYER_COLUMNS, rows).decode()


def _plot(row: dict[str, Any]) -> list[str]:
    """The score over K with its interval at each K, the untouched model's level, and the cliff."""
    score, low, high = row["score"], row["score_low"], row["score_high"]
    bottom, top = min(low), max(high)
    step = (top - bottom) / (HEIGHT - 1) or 1.0
    place = [[round((value - bottom) / step) for value in values] for values in (low, score, high)]
    level = place[1][-1]
    lines = [f"{row['metric']}, image cut after K layers ({row['cut']}); bars: {100 * (1 - 2 * row['level']):.0f} %"]
    for y in range(HEIGHT - 1, -1, -1):
        cells = []
        for k in range(len(score)):
            inside = place[0][k] <= y <= place[2][k]
            mark = "●" if place[1][k] == y else "│" if inside else "┊" if k == row["cliff"] else " "
            cells.append(f"{'┄' if y == level else ' '}{mark}{'┄' if y == level else ' '}")
        lines.append(f"{_score(bottom + y * step):>7} {''.join(cells)}")
    lines.append(f"{'K':>7} {''.join(f'{k:^3}' for k in range(len(score)))}")
    if row["cliff"] is not None:
        lines.append(f"{'cliff':>7} {'   ' * row['cliff']} ^")
    return lines


def _curves(summary: SweepSummary) -> list[str]:
    """Metric and agreement at each K, for every way of cutting."""
    names = [curve["cut"] for curve in summary["curves"]]
    metric = summary["rows"][0]["metric"]
    scores = {row["cut"]: row["score"] for row in summary["rows"] if row["metric"] == metric}
    heads = [f"{name} {what}" for name in names for what in (metric, "same", "KL")]
    rows = []
    for k in summary["curves"][0]["k"]:
        cells = []
        for curve in summary["curves"]:
            cells += [_score(scores[curve["cut"]][k]), f"{100 * curve['same'][k]:.1f} %", f"{curve['kl'][k]:.3f}"]
        rows.append([str(k), *cells])
    return _columns(["K", *heads], rows)


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Baseline, cliff and the score there, as in Table 1, each with its interval."""
    found = []
    for row in rows:
        first, last = row["cliff_interval"]
        cliff = "none" if row["cliff"] is None else str(row["cliff"])
        scale = 100 if row["percent"] else 1
        there = "-" if row["cliff"] is None else _with_range(row["at_cliff"], row["at_cliff_interval"], scale)
        base = _with_range(row["baseline"], row["baseline_interval"], scale)
        arrow = " (lower is better)" if row["lower_is_better"] else ""
        found.append([row["metric"] + arrow, row["cut"], base, cliff, f"{first}-{last}", there])
    return _columns(["metric", "cut", "full model", "cliff", "interval", "at the cliff"], found)


def _verdicts(rows: Sequence[dict[str, Any]], screens: Sequence[dict[str, Any]]) -> list[str]:
    """The verdicts of the data set's own metric, one for each way of cutting."""
    lines = []
    screen_of = {screen["cut"]: screen["verdict"] for screen in screens}
    for row in rows:
        if row["metric"] == rows[0]["metric"]:
            lines += [f"{row['metric']}, {row['cut']}: {row['verdict']}", f"  {row['gain_verdict']}"]
            lines.append(f"  {screen_of[row['cut']]}")
    return lines


def _traits(traits: dict[str, Any]) -> list[str]:
    """Kept against lost, layer by layer."""
    counts = ", ".join(f"{count} {group}" for group, count in traits["items"].items())
    lines = [
        f"How the untouched model looks at the image, by what cutting it at K = {traits['k']} does to a right answer",
        f"({counts}; mean, and lost minus kept with its standard error):",
    ]
    for name, values in traits["values"].items():
        rows = [
            [str(layer), *(_value(values[group][layer]) for group in ("kept", "lost", "difference", "error"))]
            for layer in range(len(values["kept"]))
        ]
        lines += ["", TITLES.get(name, name), *_columns(["layer", "kept", "lost", "lost - kept", "+-"], rows)]
    return lines


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)]


def _score(value: float) -> str:
    """In percent, as the paper has it."""
    return f"{100 * value:.2f}"


def _with_range(value: float, interval: Sequence[float], scale: int) -> str:
    low, high = interval
    return f"{scale * value:.2f} [{scale * low:.2f}, {scale * high:.2f}]"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
