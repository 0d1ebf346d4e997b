"""Attention rows and shares against everything that keeps or recomputes whole attention matrices."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import ours, peers, plain
from benchmarks.compare import relative, stack
from benchmarks.memory import peak_bytes
from benchmarks.row import Row, against
from benchmarks.scene import Scene
from benchmarks.timing import time_sides


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Ours gives shares and image rows; the others the answer's rows of every head.

    To be run last in a process: nnsight changes torch's `backward` when it is imported.
    """
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "lean forward": plain.lean_forward(scene),
            "shares": ours.attention(scene),
            "rows": ours.attention_rows(scene),
            "output_attentions": plain.output_attentions(scene),
            "transformer-lens": peers.transformer_lens(scene),
            "nnsight": peers.nnsight(scene),
        },
        rounds,
        scene.device,
    )
    hf = against("transformers")
    name = "attention shares, all layers"
    shares = took["shares"].seconds
    yield Row(name, shares / took["forward"].seconds, "x forward", "<= 1.2", **hf)
    yield Row(f"{name}, lean forward", shares / took["lean forward"].seconds, "x forward", "<= 1.2", **hf)
    yield Row(
        "attention rows of every head", took["rows"].seconds / took["forward"].seconds, "x forward", "<= 1.2", **hf
    )
    for side, package in _SIDES.items():
        yield Row(f"{name}, against {side}", took[side].seconds / shares, "x faster", **against(package))
    made = stack(took["rows"].result, "weights")
    for side, package in _SIDES.items():
        difference = relative(made, took[side].result)
        yield Row(
            f"attention rows, largest difference from {side}", difference, "relative", "<= 1e-4", **against(package)
        )
    del took
    yield from _memory(scene)


_SIDES = {"output_attentions": "transformers", "transformer-lens": "transformer-lens", "nnsight": "nnsight"}


def _memory(scene: Scene) -> Iterator[Row]:
    hf = against("transformers")
    lean = peak_bytes(scene, "plain.lean_forward")
    eager = peak_bytes(scene, "plain.eager_forward")
    whole = peak_bytes(scene, "plain.output_attentions") - eager
    name = "attention: peak over the forward pass"
    for side, label in (("attention", "shares"), ("attention_rows", "rows")):
        own = max(0, peak_bytes(scene, f"ours.{side}") - lean)
        yield Row(f"{name}, {label}", own / 2**20, "MiB")
        yield Row(f"{name}, {label}, of output_attentions'", 100 * own / whole, "%", "<= 5", **hf)
    for side in ("transformer_lens", "nnsight"):
        package = side.replace("_", "-")
        extra = peak_bytes(scene, f"peers.{side}") - eager
        yield Row(f"{name}, {package}, of output_attentions'", 100 * extra / whole, "%", **against(package))
