"""Numbers over layers (or K) as files: charts, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from flowtui.engine.results import GROUPS, Run

from .charts import Chart, to_image, to_svg
from .content.faithfulness import CURVES, curves
from .content.lens import every_image_token
from .summary import Summary, summarise
from .table import SALIENCY, cliff_sentence, to_json
from .text import visible

FLOAT32_MAX = float(np.finfo(np.float32).max)
MAX_TOKENS = 8
"""Answer tokens that a chart has lines for."""


@dataclass(frozen=True, slots=True)
class Series:
    """How one analysis' numbers are written; each function takes the run's summary.

    Attributes:
        json: Plain content.
        csv: Header and rows.
        charts: File stem -> chart.
        stem: Of the data files.
    """

    json: Callable[[Summary], Any]
    csv: Callable[[Summary], tuple[Sequence[str], Iterable[Sequence[Any]]]]
    charts: Callable[[Summary], Mapping[str, Chart]]
    stem: str


def series_files(run: Run, name: str, format: str) -> Iterable[tuple[str, bytes]]:
    """The files for one of `SERIES`: name, content."""
    series, content = SERIES[name], summarise(run)
    if name == "faithfulness":
        content["curves"] = curves(run)
    if name == "lens" and format == "json":
        content["lens"] = content["lens"] | {"image_tokens": every_image_token(run)}
    if format == "json":
        yield f"{series.stem}.json", to_json(series.json(content)).encode()
    elif format == "csv":
        yield f"{series.stem}.csv", csv_bytes(*series.csv(content))
    else:
        for stem, chart in series.charts(content).items():
            yield f"{stem}.{format}", to_svg(chart).encode() if format == "svg" else png_bytes(to_image(chart))


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table as CSV, what is missing left empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([shortest(value) for value in row] for row in rows)
    return out.getvalue().encode()


def shortest(value: Any) -> Any:
    """A number that float32 holds exactly with no more digits than float32 needs; anything else as it is."""
    if isinstance(value, float) and abs(value) < FLOAT32_MAX and float(np.float32(value)) == value:
        return str(np.float32(value))
    return value


def png_bytes(image: Image.Image) -> bytes:
    """A picture as PNG."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _by_layer(content: Summary, columns: Mapping[str, Sequence[Any]]) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    return ("layer", *columns), [(i, *(values[i] for values in columns.values())) for i in range(content["layers"])]


def _flow_charts(content: Summary) -> dict[str, Chart]:
    return {"flow": Chart("Attention from the answer", "layer", "share", content["attention"]["share"])}


def _saliency_charts(content: Summary) -> dict[str, Chart]:
    flow = content["saliency"]["flow"]
    into = {name: flow[name] for name in ("image->answer", "system->answer", "user->answer", "image->user")}
    return {"saliency-flow": Chart("Saliency flow", "layer", "mean over pairs of tokens", into)}


def _truncation_charts(content: Summary) -> dict[str, Chart]:
    curve, x_label = content["truncation"], "K: layers that see the image"
    mark = content["cliff"]["k"] if content["cliff"] else None
    label = "" if mark is None else f"cliff {mark}"
    return {
        "truncation-kl": Chart(cliff_sentence(content), x_label, "KL (nats)", {"KL": curve["kl"]}, mark, label),
        "truncation-logprob": Chart(
            "Log-probability of the full model's answer", x_label, "nats", {"log p": curve["logprob"]}, mark, label
        ),
    }


def _truncation_csv(content: Summary) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    names = ("k", "logprob", "kl", "same_answer", "text")
    curve = {**content["truncation"], "text": [t and visible(t) for t in content["truncation"]["text"]]}
    return ("k", "k_logprob", "k_kl", "k_same", "k_text"), zip(*(curve[name] for name in names), strict=True)


def _lens_charts(content: Summary) -> dict[str, Chart]:
    lens, names = content["lens"], content["answer"]["tokens"]
    of_tokens = {
        f"{t} {name.strip()}": [None if p is None else p[t] for p in lens["prob"]]
        for t, name in enumerate(names[:MAX_TOKENS])
    }
    return {"lens": Chart("Logit lens: probability of the answer's tokens", "layer", "probability", of_tokens)}


def _lens_csv(content: Summary) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    lens, names = content["lens"], content["answer"]["tokens"]
    rows = [
        (layer, t, visible(name), lens["rank"][layer][t], lens["prob"][layer][t], k, visible(text), prob)
        for layer, top in enumerate(lens["top"])
        if top is not None
        for t, name in enumerate(names)
        for k, (text, prob) in enumerate(top[t])
    ]
    return ("layer", "token", "answer", "rank", "prob", "place", "guess", "guess_prob"), rows


def _knockout_charts(content: Summary) -> dict[str, Chart]:
    knockout = content["knockout"]
    lost = {name: edge["logprob"] for name, edge in knockout["edges"].items()}
    x_label = f"layer at the centre of the {knockout['window']} that are cut"
    return {"knockout": Chart("Knockout: change of the answer's log-probability", x_label, "nats", lost)}


def _knockout_csv(content: Summary) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    edges = content["knockout"]["edges"]
    rows = [(i, name, e["logprob"][i], e["prob"][i]) for i in range(content["layers"]) for name, e in edges.items()]
    return ("layer", "edge", "logprob", "prob"), rows


def _faithfulness_charts(content: Summary) -> dict[str, Chart]:
    maps, random = content["faithfulness"]["maps"], content["faithfulness"]["random"]
    charts = {}
    for curve, good in zip(CURVES, ("small", "large"), strict=True):
        # The curve of a map without an order says nothing of the map.
        areas = {
            name: [v if ranked else None for v, ranked in zip(judged[f"{curve}_auc"], judged["ranked"], strict=True)]
            for name, judged in maps.items()
        }
        areas["random order"] = [random[f"{curve}_auc"]] * content["layers"]
        title = f"Area under the {curve} curve: {good} is good"
        charts[f"faithfulness-{curve}"] = Chart(title, "layer", "area", areas)
    return charts


def _faithfulness_csv(content: Summary) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    rows = [
        (one["layer"], name, curve, fraction, value)
        for one in content["curves"]
        for curve in CURVES
        for name, values in one[curve].items()
        for fraction, value in zip(one["fraction"], values, strict=True)
    ]
    return ("layer", "map", "curve", "fraction", "probability"), rows


SERIES: dict[str, Series] = {
    "saliency": Series(
        lambda content: content["saliency"],
        lambda content: _by_layer(
            content, {SALIENCY.get(name, name): values for name, values in content["saliency"]["flow"].items()}
        ),
        _saliency_charts,
        "saliency-flow",
    ),
    "flow": Series(
        lambda content: content["attention"],
        lambda content: _by_layer(content, {group: content["attention"]["share"][group] for group in GROUPS}),
        _flow_charts,
        "flow",
    ),
    "truncation": Series(
        lambda content: {**content["truncation"], "cliff": content["cliff"]},
        _truncation_csv,
        _truncation_charts,
        "truncation",
    ),
    "lens": Series(lambda content: content["lens"], _lens_csv, _lens_charts, "lens"),
    "knockout": Series(lambda content: content["knockout"], _knockout_csv, _knockout_charts, "knockout"),
    "faithfulness": Series(
        lambda content: {**content["faithfulness"], "curves": content["curves"]},
        _faithfulness_csv,
        _faithfulness_charts,
        "faithfulness",
    ),
}
