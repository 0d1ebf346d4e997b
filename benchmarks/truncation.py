"""The truncation curve, all K, against a call per K; at the depth of LLaVA-1.5-7B too, for its gain grows with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks import ours, plain
from benchmarks.compare import relative, stack
from benchmarks.row import Row, against
from benchmarks.scene import Scene, build_scene
from benchmarks.timing import Timed, time_sides

TOKENS = 7
DEEP = 32


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Both sides give log-probabilities of the answer at every K; the curve gives KL too."""
    yield from _curve(scene, rounds)
    yield from _text(scene, rounds)
    if scene.size.layers != DEEP:
        with build_scene(replace(scene.size, layers=DEEP), scene.device) as deep:
            yield from _curve(deep, 1)


def _curve(scene: Scene, rounds: int) -> Iterator[Row]:
    peer = against("transformers")
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "lean forward": plain.lean_forward(scene),
            "curve": ours.truncation(scene),
            "drop": plain.drop_per_k(scene),
            "mask": plain.mask_per_k(scene),
            "lean drop": plain.drop_per_k(scene, lean=True),
            "lean mask": plain.mask_per_k(scene, lean=True),
        },
        rounds,
        scene.device,
    )
    curve = took["curve"].seconds
    name = f"truncation, {scene.size.layers} layers, all K"
    yield Row(f"one forward call, {scene.size.layers} layers", took["forward"].seconds, "s", **peer)
    yield Row(name, curve / took["forward"].seconds, "x forward", "<= 3", **peer)
    yield Row(f"{name}, lean forward", curve / took["lean forward"].seconds, "x forward", "<= 3", **peer)
    for lean in ("", "lean "):
        for kind, doing, goal in (("drop", "dropping", ">= 10"), ("mask", "masking", ">= 20")):
            faster = took[f"{lean}{kind}"].seconds / curve
            yield Row(f"{name}, against {doing} in a {lean}call per K", faster, "x faster", goal, **peer)
    made = stack(took["curve"].result, "logprob")
    for kind, doing in (("drop", "dropping"), ("mask", "masking")):
        difference = relative(made, took[kind].result)
        yield Row(f"{name}, largest difference from {doing}", difference, "relative", "<= 1e-4", **peer)


def _text(scene: Scene, rounds: int) -> Iterator[Row]:
    peer = against("transformers")
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "curve": ours.truncation_with_text(scene, TOKENS),
            "generate": plain.generate_per_k(scene, TOKENS),
        },
        rounds,
        scene.device,
    )
    name = f"truncation, all K, {TOKENS} tokens of greedy text each"
    yield Row(name, took["curve"].seconds / took["forward"].seconds, "x forward", "<= 3", **peer)
    faster = took["generate"].seconds / took["curve"].seconds
    yield Row(f"{name}, against generate per K", faster, "x faster", ">= 10", **peer)
    yield Row(
        f"{name}: texts that differ from generate's", _differ(took), f"of {scene.size.layers + 1}", "<= 0", **peer
    )


def _differ(took: dict[str, Timed]) -> int:
    pairs = zip(took["curve"].result, took["generate"].result, strict=True)
    return sum(not torch.equal(torch.as_tensor(a.arrays["ids"]).long(), torch.tensor(b)) for a, b in pairs)
