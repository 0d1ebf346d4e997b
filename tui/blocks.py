"""The tables below the main one: a block for each analysis that has more to say than fits into a line of 80 cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, fsum, log
from typing import Any

from flowtui.engine.shapes import MAPS

from .summary import Summary
from .text import visible

Columns = Mapping[str, Sequence[Any]]
MAX_TEXT_CELLS = 40
CURVES = {"deletion": "-", "insertion": "+"}


def further_blocks(summary: Summary) -> list[str]:
    """All blocks that there is content for, each after an empty line."""
    layer = summary.get("layer")
    layers = list(range(summary["layers"])) if layer is None else [layer]
    blocks = [_saliency, _lens, _knockout, _faithfulness, _mask]
    return [line for block in blocks for line in block(summary, layers)] if layers != [summary["layers"]] else []


def token_blocks(summary: Summary) -> list[str]:
    """What one layer adds: losses of answer tokens at a knockout, deletion and insertion, guesses of the lens."""
    lines: list[str] = []
    edges = (summary["knockout"] or {"edges": {}})["edges"]
    changes = {name: edge["answer_tokens"] for name, edge in edges.items() if "answer_tokens" in edge}
    if changes:
        tokens = [visible(token) for token in summary["answer"]["tokens"]]
        lines += _table("knockout, nats", tokens, {n: _numbers(v, "+.3f") for n, v in changes.items()}, 16)
    judged = summary["faithfulness"] or {"maps": {}}
    for curve in CURVES:
        found = {n: c[curve] for n, c in judged["maps"].items() if curve in c}
        if found:
            columns = {name: _numbers(v, ".3f") for name, v in (found | {"random": judged["random"][curve]}).items()}
            lines += _table(curve, [f"{part:.3f}" for part in judged["fraction"]], columns, 16)
    return lines + _lens_tokens(summary)


def _saliency(summary: Summary, layers: Sequence[int]) -> list[str]:
    if not summary["saliency"]:
        return []
    flow = summary["saliency"]["flow"]
    columns = {name: _numbers(flow[name], ".1e") for name in ("image->answer", "system->answer", "user->answer")}
    columns["peak"] = [f"{p[0]},{p[1]}" if p else "-" for p in summary["saliency"]["peak"]]
    note = "saliency: mean over pairs of tokens; peak: row,col of the map's hottest cell."
    return _by_layer(note, layers, columns)


def lens_answer(content: Summary | None, i: int) -> tuple[int | None, float | None, str | None]:
    """What the logit lens makes of the answer at the i-th layer there is content for.

    Returns:
        The largest rank of its tokens, the geometric mean of their probabilities, and the likeliest tokens as one text;
        None where there is no such layer, or no token.
    """
    if content is None or i >= len(content["rank"]) or not content["rank"][i]:
        return None, None, None
    probs = content["prob"][i]
    mean = exp(fsum(map(log, probs)) / len(probs)) if min(probs) > 0 else 0.0
    return max(content["rank"][i]), mean, " ".join(guesses[0][0].strip() for guesses in content["top"][i])


def _lens(summary: Summary, layers: Sequence[int]) -> list[str]:
    if not summary["lens"]:
        return []
    found = [lens_answer(summary["lens"], i) for i in range(len(layers))]
    columns = {
        "rank": ["-" if rank is None else str(rank) for rank, _, _ in found],
        "p": _numbers([mean for _, mean, _ in found], ".3f"),
        "says": ["-" if text is None else _short(visible(text)) for _, _, text in found],
    }
    note = "rank: the largest of the answer's tokens, 0 is best; p: their geometric mean."
    return _by_layer("lens: what the model would say if it stopped after the layer.", layers, columns, note)


def _lens_tokens(summary: Summary) -> list[str]:
    """The guesses at each answer token, and how often each token is an image token's likeliest."""
    lens = summary["lens"] or {"top": []}
    if "layer" not in summary or not lens["top"] or not lens["top"][0]:
        return []
    names = [visible(token)[:16] for token in summary["answer"]["tokens"]]
    columns = {
        "rank": [str(rank) for rank in lens["rank"][0]],
        "p": _numbers(lens["prob"][0], ".3f"),
        "likeliest": [_short(", ".join(f"{visible(t).strip()} {p:.2f}" for t, p in row)) for row in lens["top"][0]],
    }
    lines = _table("lens", names, columns, 16)
    cells = [cell for span in lens.get("image_tokens", []) for row in span for cell in _cells(row)]
    if cells:
        often = Counter(visible(text).strip() for text, _ in cells).most_common(8)
        said = ", ".join(f"{text or '␣'} {count}" for text, count in often)
        lines += ["", f"image tokens say: {said if len(said) <= 62 else said[:61] + '…'}"]
    return lines


def _cells(row: list[Any]) -> list[Any]:
    """The [text, probability] of a row of cells, or of one token of a span without a grid."""
    return [row] if isinstance(row[0], str) else row


def _knockout(summary: Summary, layers: Sequence[int]) -> list[str]:
    if not summary["knockout"]:
        return []
    columns = {name: _numbers(edge["logprob"], "+.3f") for name, edge in summary["knockout"]["edges"].items()}
    window = summary["knockout"]["window"]
    cut = "in that layer" if window == 1 else f"in {window} layers around it"
    return _by_layer(f"knockout: change of the answer's log p, connections cut {cut}.", layers, columns)


def _faithfulness(summary: Summary, layers: Sequence[int]) -> list[str]:
    content = summary["faithfulness"]
    if not content:
        return []
    columns = {}
    for name, judged in content["maps"].items():
        for curve, sign in CURVES.items():
            # The curve of a map without an order says nothing of the map.
            areas = [v if r else None for v, r in zip(judged[f"{curve}_auc"], judged["ranked"], strict=True)]
            columns[f"{name} {sign}"] = _numbers(areas, ".3f")
    title = "faithfulness: mean probability of the answer as image tokens go (-) or come (+)."
    note = "Good maps have a small - and a large +: their hottest tokens go, or come, first."
    if content["random"]["deletion_auc"] is None:
        return _by_layer(title, layers, columns, note)
    minus, plus = (content["random"][f"{curve}_auc"] for curve in CURVES)
    return _by_layer(title, layers, columns, note, f"In random order - is {minus:.3f} and + is {plus:.3f}.")


def _mask(summary: Summary, layers: Sequence[int]) -> list[str]:
    if "mask" not in summary:
        return []
    columns: dict[str, list[str]] = {}
    for name in MAPS:
        if summary[name]:
            hits = summary[name]["pointing"]
            columns[f"{name} hit"] = ["-" if hit is None else "yes" if hit else "no" for hit in hits]
            columns[f"{name} in"] = _numbers(summary[name]["mass_in_box"], ".3f")
    share, image = summary["mask"]["share"], summary["mask"]["image"] + 1
    title = f"mask: {share:.3f} of image {image}; hit: the peak lies in it; in: part of the map that does."
    return _by_layer(title, layers, columns) if columns else []


def _by_layer(title: str, layers: Sequence[int], columns: Columns, *notes: str) -> list[str]:
    table = _table("layer", list(map(str, layers)), columns, 5)
    return ["", title, *table[1:], *notes]


def _table(corner: str, names: Sequence[str], columns: Columns, width: int) -> list[str]:
    """An empty line, a line of names and one line for each; the corner's column is `width` cells wide."""
    widths = {name: max([len(name), 7, *map(len, cells)]) for name, cells in columns.items()}
    lines = ["", "  ".join([corner.rjust(width), *(name.rjust(w) for name, w in widths.items())])]
    for i, name in enumerate(names):
        lines.append("  ".join([name.rjust(width), *(columns[c][i].rjust(w) for c, w in widths.items())]))
    return lines


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CELLS else text[: MAX_TEXT_CELLS - 1] + "…"


def _numbers(values: Sequence[float | None], form: str) -> list[str]:
    return ["-" if value is None else f"{value:{form}}" for value in values]
