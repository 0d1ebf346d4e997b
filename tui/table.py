"""A run's summary as plain text, as CSV and as JSON: the same content without a screen."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from flowtui.engine.results import GROUPS
from flowtui.engine.shapes import EDGES, MAPS
from flowtui.engine.spec import ANALYSES

from .blocks import further_blocks, lens_answer, token_blocks
from .summary import Summary
from .text import visible

SALIENCY = {name: f"saliency_{name.replace('->', '_')}" for name in ("image->answer", "system->answer", "user->answer")}
"""Flow -> its column."""
LENS = ("lens_rank", "lens_prob", "lens_text")
"""The logit lens' answer: its tokens' largest rank, their probabilities' geometric mean, and what it says instead."""
KNOCKOUT = {edge: f"knockout_{edge.replace('->', '_')}" for edge in EDGES}
"""Edge -> its column: change of the answer's log-probability."""
AREAS = {(name, area): f"{name}_{area}" for name in MAPS for area in ("deletion_auc", "insertion_auc")}
"""Map and curve -> its column; empty where the map is zero and so has no order."""
JUDGED = {(name, by): f"{name}_{by}" for name in MAPS for by in ("pointing", "mass_in_box")}
"""Map and judgement by a mask -> its column; there only where a mask is given."""

COLUMNS = (
    "layer",
    *GROUPS,
    "cam_row",
    "cam_col",
    *SALIENCY.values(),
    "saliency_row",
    "saliency_col",
    *LENS,
    *KNOCKOUT.values(),
    *AREAS.values(),
    "k_logprob",
    "k_kl",
    "k_same",
    "k_text",
)
"""Columns of the per-layer table. The `k_` columns are the run with the image cut at K = layer; the last row, L, is
the untouched model and has only those."""

MAX_TEXT_CELLS = 48


def rows(summary: Summary) -> list[dict[str, Any]]:
    """One row per layer, and one for K = L, with None where nothing was computed."""
    layer = summary.get("layer")
    layers = range(summary["layers"] + 1) if layer is None else [layer]
    share = summary["attention"]["share"] if summary["attention"] else {}
    peaks = summary["cam"]["peak"] if summary["cam"] else []
    saliency = summary["saliency"] or {"flow": {}, "peak": []}
    edges = (summary["knockout"] or {"edges": {}})["edges"]
    curve = summary["truncation"] or {"k": [], "logprob": [], "kl": [], "same_answer": [], "text": []}
    found = []
    for i, number in enumerate(layers):
        at_k = curve["k"].index(number) if number in curve["k"] else None
        values = [
            number,
            *(_at(share.get(group, []), i) for group in GROUPS),
            *(_at(peaks, i) or (None, None)),
            *(_at(saliency["flow"].get(name, []), i) for name in SALIENCY),
            *(_at(saliency["peak"], i) or (None, None)),
            *lens_answer(summary["lens"], i),
            *(_at(edges.get(edge, {}).get("logprob", []), i) for edge in KNOCKOUT),
            *(_area(summary, name, area, i) for name, area in AREAS),
            *(None if at_k is None else curve[name][at_k] for name in ("logprob", "kl", "same_answer", "text")),
        ]
        row = dict(zip(COLUMNS, values, strict=True))
        if "mask" in summary:
            row |= {column: _at((summary[name] or {}).get(by, []), i) for (name, by), column in JUDGED.items()}
        found.append(row)
    return found


def to_csv(summary: Summary) -> str:
    """The per-layer table as CSV, numbers unrounded, what is missing left empty."""
    out = io.StringIO()
    table = rows(summary)
    writer = csv.DictWriter(out, list(table[0]), lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: visible(v) if isinstance(v, str) else v for k, v in row.items()})
    return out.getvalue()


def to_json(content: object) -> str:
    """Any plain content as JSON that is safe on a terminal: ASCII only, no control character outside its escapes."""
    # json leaves DEL alone; inside a document it can only stand in a string, where the escape means the same.
    return json.dumps(content, ensure_ascii=True, allow_nan=False, indent=1).replace("\x7f", "\\u007f") + "\n"


def to_text(summary: Summary) -> str:
    """The run as a person reads it: model, answer, cliff and tables over layers."""
    lines = [
        f"model    {visible(summary['model'])}, {summary['layers']} layers, {summary['image_tokens']} image tokens",
        f"answer   {visible(summary['answer']['text']) or '(empty)'}",
        f"cliff    {cliff_sentence(summary)}",
    ]
    absent = [name for name in ANALYSES if name in summary and summary[name] is None]
    if absent:
        lines.append(f"missing  {', '.join(absent)}")
    tables = (*_table(summary), *further_blocks(summary), *_one_layer(summary), *token_blocks(summary))
    return "\n".join((*lines, "", *tables)) + "\n"


def cliff_sentence(summary: Summary) -> str:
    """The cliff in words, never a forced layer."""
    cliff = summary["cliff"]
    if cliff is None:
        return "not known: the truncation curve is not complete"
    if cliff["k"] is None:
        return f"no cliff: at no K below L does the answer stay the same with a KL of at most {cliff['eta']:g} nats"
    return (
        f"K = {cliff['k']}: from layer {cliff['k']} on, the answer is the same without the image "
        f"(KL at most {cliff['eta']:g} nats)"
    )


def _at(values: list[Any], i: int) -> Any:
    return values[i] if i < len(values) else None


def _area(summary: Summary, name: str, area: str, i: int) -> Any:
    judged = summary["faithfulness"]["maps"][name] if summary["faithfulness"] else {area: [], "ranked": []}
    return _at(judged[area], i) if _at(judged["ranked"], i) else None


def _table(summary: Summary) -> list[str]:
    columns: list[tuple[str, int]] = [("layer", 5)]
    notes = []
    if summary["attention"]:
        columns += [(group, 6) for group in GROUPS]
        notes.append("system to answer: attention shares, mean over heads and answer tokens.")
    if summary["cam"]:
        columns.append(("peak", 5))
        notes.append("peak: row,col of the hottest cell of the map; - where the map is zero.")
    if summary["truncation"]:
        columns += [("log p", 8), ("KL", 7), ("same", 4), ("text", 0)]
        notes.append("log p to text: the image is cut at K = layer; KL in nats per answer token.")
    lines = ["  ".join(name.rjust(width) if width else name for name, width in columns)]
    for row in rows(summary):
        cells = {name: _cell(row, name) for name, _ in columns}
        cliff = summary["cliff"] is not None and summary["cliff"]["k"] == row["layer"]
        line = "  ".join(cells[name].rjust(width) for name, width in columns)
        lines.append((line + ("  <- cliff" if cliff else "")).rstrip())
    return [*lines, "", *notes]


_COLUMN_OF = {
    "log p": "k_logprob",
    "KL": "k_kl",
    "same": "k_same",
    "text": "k_text",
}
_FORMATS = {"KL": ".4f"}


def _cell(row: dict[str, Any], column: str) -> str:
    if column == "peak":
        return "-" if row["cam_row"] is None else f"{row['cam_row']},{row['cam_col']}"
    value = row[_COLUMN_OF.get(column, column)]
    if value is None:
        return "" if column == "text" else "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:{_FORMATS.get(column, '.3f')}}"
    text = visible(str(value))
    return text if len(text) <= MAX_TEXT_CELLS else text[: MAX_TEXT_CELLS - 1] + "…"


def _one_layer(summary: Summary) -> list[str]:
    """What `--layer` adds: shares by answer token and by head, and maps as numbers, maximum 99."""
    lines: list[str] = []
    attention = summary["attention"] or {}
    for title, key in (("answer token", "answer_tokens"), ("head", "heads")):
        if key in attention:
            count = len(attention[key][GROUPS[0]])
            names = (
                [visible(t) for t in summary["answer"]["tokens"]] if key == "answer_tokens" else map(str, range(count))
            )
            lines += ["", f"{title:>16}  " + "  ".join(group.rjust(6) for group in GROUPS)]
            for i, name in enumerate(names):
                lines.append(f"{name:>16}  " + "  ".join(f"{attention[key][group][i]:6.3f}" for group in GROUPS))
    for name, key in (("heat", "cam"), ("saliency", "saliency")):
        for grid in (summary[key] or {}).get("heat", []):
            lines += [] if grid is None else _map(name, grid)
    return lines


def _map(name: str, grid: list[list[float]]) -> list[str]:
    highest = max(map(max, grid))
    if highest <= 0:
        return ["", f"{name}: the map is zero at every cell"]
    scale = 99 / highest
    return ["", f"{name}, 99 = the map's maximum", *("".join(f"{round(v * scale):3d}" for v in row) for row in grid)]
