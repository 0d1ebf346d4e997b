"""The truncation curve, all K, against a call per K."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks import ours, plain
from benchmarks.compare import relative, stack
from benchmarks.row import Row, against
from benchmarks.scene import Scene
from benchmarks.timing import time_sides

TOKENS = 7


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Both sides give log-probabilities of the answer at every K; the curve gives KL too."""
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
    name = "truncation curve, all K"
    yield Row("one plain forward call", took["forward"].seconds, "s", **peer)
    yield Row(f"{name}", curve / took["forward"].seconds, "x forward", "<= 3", **peer)
    yield Row(f"{name}, against a lean forward call", curve / took["lean forward"].seconds, "x forward", "<= 3", **peer)
    for lean in ("", "lean "):
        for kind, goal in (("drop", ">= 10"), ("mask", ">= 20")):
            how = f"{kind}ping" if kind == "drop" else "masking"
            side = took[f"{lean}{kind}"].seconds
            yield Row(f"{name}, against {how} per K ({lean or 'plain '}calls)", side / curve, "x faster", goal, **peer)
    made = stack(took["curve"].result, "logprob")
    for kind in ("drop", "mask"):
        difference = relative(made, took[kind].result)
        yield Row(f"{name}, largest difference from {kind}", difference, "relative", "<= 1e-4", **peer)
    text = time_sides(
        {
            "curve": ours.truncation_with_text(scene, TOKENS),
            "generate": plain.generate_per_k(scene, TOKENS),
        },
        max(1, rounds // 2),
        scene.device,
    )
    name = f"{name}, with {TOKENS} tokens of greedy text for each"
    yield Row(name, text["curve"].seconds / took["forward"].seconds, "x forward", "<= 3", **peer)
    yield Row(
        f"{name}, against generate per K", text["generate"].seconds / text["curve"].seconds, "x faster", ">= 10", **peer
    )
    differ = sum(
        not torch.equal(torch.as_tensor(a.arrays["ids"]).long(), torch.tensor(b))
        for a, b in zip(text["curve"].result, text["generate"].result, strict=True)
    )
    yield Row(f"{name}: texts that differ from generate's", differ, "of all K", "<= 0", **peer)
