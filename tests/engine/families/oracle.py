"""Every analysis once more, by plain transformers, and how far the engine's numbers are from it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowtui.engine.analyses import run_analysis
from flowtui.engine.cam import find_site
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import GROUPS, LayerResult
from flowtui.engine.shapes import EDGES
from flowtui.engine.spec import PARAMETERS, CamSite, parameters_from_plain
from flowtui.errors import UnsupportedModelError
from tests.engine.families.plain import Array, Plain

Arrays = dict[str, Array]

TOLERANCE = 1e-4
"""Relative, of every number of every analysis."""

CHOSEN: dict[str, dict[str, Any]] = {
    "attention": {"weights": True},
    "knockout": {"window": 2},
    "faithfulness": {"steps": 2, "orders": 1},
    "matrix": {"cells": 8},
}
"""Parameters that differ from the defaults: more arrays, fewer slow passes."""

OVER_LAYERS = ("truncation",)
"""These are one curve over K: its largest value is the measure. A KL of nearly nothing is the square of a difference of
logits, and its own size would measure how rounding squares."""


def attention(plain: Plain) -> dict[int, Arrays]:
    """Sums over whole rows of `output_attentions`, values from a cache."""
    made: dict[int, Arrays] = {}
    image, text = plain.group == GROUPS.index("image"), plain.group != GROUPS.index("image")
    for layer, whole in plain.attentions.items():
        # [T H N]
        rows = whole[:, plain.rows].transpose(0, 1).double().numpy()
        valued = rows * plain.values[layer].double().norm(dim=-1).numpy()
        made[layer] = {
            "share": np.stack([rows[..., plain.group == g].sum(-1) for g in range(4)], -1),
            "value_share": np.stack([valued[..., plain.group == g].sum(-1) for g in range(4)], -1)
            / valued.sum(-1)[..., None],
            "sink": rows[..., 0],
            "image_rows": rows.mean(1)[:, image],
            "text_rows": rows.mean(1)[:, text],
            "head_rows": rows.mean(0)[:, image],
            "entropy": -(rows * np.log(np.where(rows > 0, rows, 1))).sum(-1),
            "weights": rows,
        }
    return made


def matrix(plain: Plain) -> dict[int, Arrays]:
    """Blocks of the whole matrix; the cells are the engine's, checked to keep to the groups."""
    edges = np.asarray(run(plain, "matrix", [0])[0].arrays["edges"])
    cells = [slice(a, b) for a, b in itertools.pairwise(edges)]
    assert edges[0] == 0
    assert edges[-1] == len(plain.group)
    assert all(len(set(plain.group[cell])) == 1 for cell in cells)
    made: dict[int, Arrays] = {}
    for layer, whole in plain.attentions.items():
        mean = whole.double().mean(0).numpy()
        share = [[mean[row, col].sum(1).mean() for col in cells] for row in cells]
        made[layer] = {"share": np.array(share), "edges": edges}
    return made


def cam(plain: Plain) -> dict[int, Arrays]:
    """Autograd through the whole eager model, one backward pass for all tokens and one for each."""
    found = plain.features()
    target = found[-1]["logits"][plain.rows, plain.ids]
    sites = [halves[site_of(plain.loaded)] for halves in found]
    parts = [target.sum(), *target]
    maps: list[list[Array]] = []
    for part in parts:
        slopes = torch.autograd.grad(part, sites, retain_graph=True, allow_unused=True)
        maps.append([_heat(plain, a, g) for a, g in zip(sites, slopes, strict=True)])
    return {layer: {"heat": np.stack([rows[layer] for rows in maps])} for layer in range(len(sites))}


def _heat(plain: Plain, site: Tensor, slope: Tensor | None) -> Array:
    """Eq. 2-3 for one layer: [n]."""
    features = site.detach().reshape(-1, site.shape[-1])[plain.image].double().numpy()
    if slope is None:
        return np.zeros(len(features))
    gradients = slope.reshape(-1, site.shape[-1])[plain.image].double().numpy()
    alpha = gradients.mean(0)
    return np.maximum(np.array([(alpha * a).sum() for a in features]), 0)


def saliency(plain: Plain) -> dict[int, Arrays]:
    """|sum over heads of A * dLoss/dA| from whole matrices and the gradients that autograd keeps for them."""
    with torch.enable_grad():
        weights, logits = plain.with_attentions()
        loss = torch.nn.functional.cross_entropy(logits[plain.rows], plain.ids)
        slopes = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    rows = plain.rows.numpy()
    queries = plain.group.astype(int)
    queries[queries == GROUPS.index("answer")] = -1
    queries[rows] = GROUPS.index("answer")
    made: dict[int, Arrays] = {}
    earlier = np.tri(len(queries), k=-1, dtype=bool)
    for (layer, whole), slope in zip(weights.items(), slopes, strict=True):
        flow = np.zeros((4, 4))
        slope = torch.zeros_like(whole) if slope is None else slope
        mixed = (whole.detach().double() * slope.double())[0].sum(0).abs().numpy() * earlier
        for query in range(4):
            for key in range(4):
                pairs = (queries == query)[:, None] & (plain.group == key)[None] & earlier
                flow[query, key] = mixed[pairs].mean() if pairs.any() else 0
        made[layer] = {"flow": flow, "image_rows": mixed[rows][:, plain.image.numpy()]}
    return made


def truncation(plain: Plain) -> dict[int, Arrays]:
    """The image masked from layer K on, for each K anew."""
    count = len(plain.layers)
    full = plain.cutting(plain.image, count)[plain.rows].double().log_softmax(-1)
    made: dict[int, Arrays] = {}
    whole = plain.greedy(count)
    for k in range(count + 1):
        logits = plain.cutting(plain.image, k)
        logs = logits[plain.rows].double().log_softmax(-1)
        ids = whole if k == count else plain.greedy(k)
        made[k] = {
            "logprob": plain.logprob(logits),
            "kl": (full.exp() * (full - logs)).sum(-1).numpy(),
            "same": np.array(ids == whole),
            "ids": np.array(ids, dtype=np.int32),
        }
    return made


def knockout(plain: Plain) -> dict[int, Arrays]:
    """One whole pass for every edge and window."""
    window, count, n = CHOSEN["knockout"]["window"], len(plain.layers), len(plain.group)
    queries = np.array([GROUPS[g] for g in plain.group])
    keys = queries.copy()
    # The last token predicts nothing.
    queries[queries == "answer"] = ""
    queries[plain.rows.numpy()] = "answer"
    nothing = np.zeros((n, n), dtype=bool)
    with torch.no_grad():
        base = plain.logprob(plain.logits())
    made: dict[int, Arrays] = {}
    for centre in range(count):
        # An even window has one layer more after its centre.
        cut = [layer for layer in range(count) if centre <= layer < centre + window]
        assert window == 2
        rows = []
        for edge in EDGES:
            source, target = edge.split("->")
            gone = (queries == target)[:, None] & (keys == source)[None]
            with torch.no_grad(), plain.without(lambda layer, g=gone, c=cut: g if layer in c else nothing):
                rows.append(plain.logprob(plain.logits()))
        made[centre] = {"logprob": np.stack(rows), "base": base}
    return made


def faithfulness(plain: Plain) -> dict[int, Arrays]:
    """The answer's probability with image tokens masked from all layers, in the orders of the engine's maps.

    The maps have oracles of their own; here their orders are taken as they are, for two cells closer than rounding may
    change places.
    """
    n, points = len(plain.image), CHOSEN["faithfulness"]
    heat = {r.layer: r.arrays["heat"][0] for r in run(plain, "cam")}
    looks = {r.layer: r.arrays["image_rows"].mean(0) for r in run(plain, "attention")}
    flows = {r.layer: r.arrays["image_rows"].mean(0) for r in run(plain, "saliency")}
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randperm(n, generator=generator).numpy() for _ in range(points["orders"])]
    counts = [round(i * n / points["steps"]) for i in range(points["steps"] + 1)]
    known: dict[bytes, float] = {}

    def probability(gone: Array) -> float:
        if (key := np.sort(gone).tobytes()) not in known:
            logits = plain.cutting(plain.image[torch.from_numpy(gone.copy())])
            known[key] = float(np.exp(plain.logprob(logits).mean()))
        return known[key]

    def curves(orders: Sequence[Array]) -> tuple[Array, Array]:
        removed = [[probability(order[:count]) for count in counts] for order in orders]
        added = [[probability(order[count:]) for count in counts] for order in orders]
        return np.array(removed), np.array(added)

    made: dict[int, Arrays] = {}
    random = [curve.mean(0, keepdims=True) for curve in curves(drawn)]
    for layer in range(len(plain.layers)):
        maps = [heat[layer], looks[layer], flows[layer]]
        removed, added = curves([np.argsort(-values, kind="stable") for values in maps])
        made[layer] = {
            "deletion": np.concatenate([removed, random[0]]),
            "insertion": np.concatenate([added, random[1]]),
            "fraction": np.array(counts) / n,
            "ranked": np.array([bool((values > 0).any()) for values in maps]),
        }
    return made


def lens(plain: Plain) -> dict[int, Arrays]:
    """Final norm and head on every layer's output, as `output_hidden_states` gives them."""
    with torch.no_grad():
        streams = plain.streams()
        answers = [plain.head(stream) for stream in streams[:-1]] + [plain.logits()]
    made: dict[int, Arrays] = {}
    for layer, logits in enumerate(answers):
        probs = logits.double().softmax(-1)
        rows, image = probs[plain.rows], probs[plain.image]
        top, order = rows.topk(PARAMETERS["lens"]().top, -1)  # type: ignore[union-attr]
        answer = rows.gather(-1, plain.ids[:, None])
        made[layer] = {
            "ids": order.numpy(),
            "probs": top.numpy(),
            "rank": (rows > answer).sum(-1).numpy(),
            "prob": answer[:, 0].numpy(),
            "image_ids": image.argmax(-1).numpy(),
            "image_probs": image.max(-1).values.numpy(),
        }
    return made


ORACLES: dict[str, Callable[[Plain], dict[int, Arrays]]] = {
    "attention": attention,
    "cam": cam,
    "saliency": saliency,
    "truncation": truncation,
    "lens": lens,
    "knockout": knockout,
    "faithfulness": faithfulness,
    "matrix": matrix,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One analysis of one model against its oracle.

    Attributes:
        error: Largest difference, relative as in `difference`; None where the analysis is refused.
        refused: What the engine says where it refuses, or "".
    """

    error: float | None
    refused: str = ""


def measure(plain: Plain, analysis: str) -> Outcome:
    """Runs one analysis and its oracle."""
    try:
        made = {result.layer: dict(result.arrays) for result in run(plain, analysis)}
    except UnsupportedModelError as refusal:
        return Outcome(None, refusal.message)
    right = expected(plain, analysis)
    attending = {layer: arrays for layer, arrays in made.items() if layer in right}
    for layer in made.keys() - attending.keys():
        # A layer without attention: no heads, and nothing anywhere else.
        assert layer not in plain.attending
        assert all(name == "edges" or not values.any() for name, values in made[layer].items())
    assert all(attending[layer].keys() == right[layer].keys() for layer in right)
    return Outcome(_largest(analysis, attending, right))


def _largest(analysis: str, made: dict[int, Arrays], right: dict[int, Arrays]) -> float:
    assert made.keys() == right.keys()
    top = {name: _top([arrays[name] for arrays in right.values()]) for name in next(iter(right.values()))}
    errors = [0.0]
    for layer, arrays in made.items():
        for name, values in arrays.items():
            scale = top[name] if analysis in OVER_LAYERS else _top([right[layer][name]])
            errors.append(difference(values, right[layer][name], scale))
    # A NaN must not vanish in a maximum.
    return next((e for e in errors if e != e), max(errors))


def expected(plain: Plain, analysis: str) -> dict[int, Arrays]:
    """What the oracle has for an analysis, computed once."""
    if analysis not in plain.known:
        plain.known[analysis] = ORACLES[analysis](plain)
    return plain.known[analysis]


def _top(arrays: Sequence[Array]) -> float:
    return max((float(np.abs(a).max(initial=0)) for a in arrays if a.dtype.kind == "f"), default=0.0)


def difference(made: Array, right: Array, top: float) -> float:
    """Largest difference of an array, relative to the largest magnitude in the oracle's array of that layer.

    Not number by number: one that is nearly zero is what rounding left of larger ones, and off by as much as they are.
    But layer by layer: gradients differ by orders of magnitude between layers, and a wrong small one must show.
    Where the oracle is zero everywhere, so must be the array; ids and flags must be the same.
    """
    assert made.shape == right.shape, (made.shape, right.shape)
    if made.dtype.kind != "f":
        return 0.0 if np.array_equal(made, right) else np.inf
    error = float(np.abs(made - right).max(initial=0))
    return error / top if top else (0.0 if error == 0 else np.inf)


def run(plain: Plain, analysis: str, layers: Sequence[int] | None = None) -> list[LayerResult]:
    """The engine's own results, all layers unless told."""
    found: list[LayerResult] = []
    parameters = parameters_from_plain(analysis, chosen(plain, analysis))
    run_analysis(plain.loaded, plain.inputs, parameters, layers, found.append, lambda *_: None, lambda: False)
    return found


def chosen(plain: Plain, analysis: str) -> dict[str, Any]:
    """The parameters that an analysis is measured with, where they are not the defaults."""
    site = {"site": site_of(plain.loaded)} if analysis in ("cam", "faithfulness") else {}
    return {**CHOSEN.get(analysis, {}), **site}


def site_of(loaded: Loaded) -> CamSite:
    """Where the family's CAM is taken: where attention and feed-forward block read the same norm, that norm."""
    try:
        find_site(loaded, 0, "post_attention")
    except UnsupportedModelError:
        return "input"
    return "post_attention"
