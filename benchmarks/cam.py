"""LLaVA-CAM of all layers against a forward and a backward pass per layer."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import ours, peers, plain
from benchmarks.compare import relative, stack
from benchmarks.row import Row, against
from benchmarks.scene import Scene
from benchmarks.timing import time_sides


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Every side gives a map of every layer for the sum of the answer's logits."""
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "lean forward": plain.lean_forward(scene),
            "all": ours.cam(scene),
            "per token": ours.cam_per_token(scene),
            "plain": plain.cam_per_layer(scene),
            "grad-cam": peers.grad_cam(scene),
            "captum": peers.captum(scene),
        },
        rounds,
        scene.device,
    )
    whole, hf = took["all"].seconds, against("transformers")
    name, goal = "CAM, all layers", f">= {scene.size.layers / 3:.2f}"
    yield Row(name, whole / took["forward"].seconds, "x forward", "<= 3", **hf)
    yield Row(f"{name}, lean forward", whole / took["lean forward"].seconds, "x forward", "<= 3", **hf)
    tokens = len(scene.inputs.answer_ids)
    yield Row(
        f"{name}, one map for each of {tokens} tokens too",
        took["per token"].seconds / took["forward"].seconds,
        "x forward",
        **hf,
    )
    for peer in ("grad-cam", "captum"):
        yield Row(f"{name}, against {peer} per layer", took[peer].seconds / whole, "x faster", goal, **against(peer))
    yield Row(f"{name}, against the leanest pass per layer", took["plain"].seconds / whole, "x faster", goal, **hf)
    made = stack(took["all"].result, "heat")[:, 0]
    for side, package in (("plain", "transformers"), ("captum", "captum")):
        difference = relative(made, took[side].result)
        yield Row(f"{name}, largest difference from {side}", difference, "relative", "<= 1e-4", **against(package))
