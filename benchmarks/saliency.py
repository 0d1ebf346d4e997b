"""Saliency flow of all layers against attention matrices with gradients, kept for all layers at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from benchmarks import ours, peers, plain
from benchmarks.compare import relative, stack
from benchmarks.memory import peak_bytes
from benchmarks.row import Row, against
from benchmarks.scene import Scene, Size, build_scene
from benchmarks.timing import time_sides
from flowtui.engine.results import GROUPS

DEPTHS = (8, 32)


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Ours gives flows and image rows; the plain side |A dL/dA|; vl-saliency A and dL/dA on the image tokens."""
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "lean forward": plain.lean_forward(scene),
            "all": ours.saliency(scene),
            "eager": plain.retain_grad(scene),
            "vl-saliency": peers.vl_saliency(scene),
        },
        rounds,
        scene.device,
    )
    whole, hf = took["all"].seconds, against("transformers")
    name = "saliency, all layers"
    yield Row(name, whole / took["forward"].seconds, "x forward", "<= 5", **hf)
    yield Row(f"{name}, lean forward", whole / took["lean forward"].seconds, "x forward", "<= 5", **hf)
    yield Row(f"{name}, against eager retain_grad", took["eager"].seconds / whole, "x faster", **hf)
    yield Row(f"{name}, against vl-saliency", took["vl-saliency"].seconds / whole, "x faster", **against("vl-saliency"))
    real = flows(scene, took["eager"].result)
    difference = relative(stack(took["all"].result, "flow"), real)
    yield Row(f"{name}, largest difference of flows from eager", difference, "relative", "<= 1e-4", **hf)
    at_rows = took["eager"].result[:, scene.inputs.answer_rows][:, :, scene.inputs.image_positions]
    difference = relative(stack(took["all"].result, "image_rows"), at_rows)
    yield Row(f"{name}, largest difference of image rows from eager", difference, "relative", "<= 1e-4", **hf)
    del took
    yield from _memory(scene)


def _memory(scene: Scene) -> Iterator[Row]:
    hf = against("transformers")
    name = "saliency: peak over the forward pass"
    lean = peak_bytes(scene, "plain.lean_forward")
    over = {scene.size.layers: peak_bytes(scene, "ours.saliency") - lean}
    eager = peak_bytes(scene, "plain.retain_grad") - lean
    vl = peak_bytes(scene, "peers.vl_saliency") - lean
    for layers in DEPTHS:
        with build_scene(Size(layers=layers, grid=scene.size.grid), scene.device) as other:
            over[layers] = peak_bytes(other, "ours.saliency") - peak_bytes(other, "plain.lean_forward")
    for layers, size in sorted(over.items()):
        yield Row(f"{name}, {layers} layers", size / 2**20, "MiB")
    low, high = DEPTHS
    yield Row(f"{name}, {high} layers in that of {low}", over[high] / over[low], "x", "<= 1.1")
    matrix = 4 * scene.size.heads * scene.inputs.length**2
    growth = (over[high] - over[low]) / (high - low)
    yield Row(f"{name}: a further layer, of its attention matrix", 100 * growth / matrix, "%")
    own = over[scene.size.layers]
    yield Row(f"{name}, of eager retain_grad's", 100 * own / eager, "%", **hf)
    yield Row(f"{name}, of vl-saliency's", 100 * own / vl, "%", **against("vl-saliency"))


def flows(scene: Scene, saliency: Tensor) -> Tensor:
    """|A dL/dA| [L N N] -> mean over pairs (query in g, key in h, key < query), by groups: [L 4 4]."""
    group = torch.as_tensor(scene.inputs.prepared.tokens.group, device=saliency.device).long()
    rows = scene.inputs.answer_rows
    keys = [group == index for index in range(len(GROUPS))]
    queries = [of.clone() for of in keys]
    queries[GROUPS.index("answer")].fill_(False)
    for of in queries:
        of[rows] = False
    queries[GROUPS.index("answer")][rows] = True
    before = torch.ones(saliency.shape[1:], dtype=torch.bool, device=saliency.device).tril(-1)
    return torch.stack([_means(layer, queries, keys, before) for layer in saliency])


def _means(saliency: Tensor, queries: Sequence[Tensor], keys: Sequence[Tensor], before: Tensor) -> Tensor:
    pairs = [[before & query[:, None] & key[None] for key in keys] for query in queries]
    return torch.stack([torch.stack([saliency[p].sum() / p.sum().clamp_min(1) for p in row]) for row in pairs])
