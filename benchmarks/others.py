"""Analyses that were promised no ratio: how many forward passes they take, and how exact they are."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks import ours, plain
from benchmarks.compare import relative, stack
from benchmarks.row import Row, against
from benchmarks.scene import Scene
from benchmarks.timing import Work, time_sides
from flowtui.engine.knockout import find_edges, window_of
from flowtui.engine.shapes import EDGES, MAPS
from flowtui.engine.spec import FaithfulnessParameters, KnockoutParameters, LensParameters


def rows(scene: Scene, rounds: int) -> Iterator[Row]:
    """Lens, matrix, knockout and faithfulness."""
    yield from lens(scene, rounds)
    yield from matrix(scene, rounds)
    yield from knockout(scene, rounds)
    yield from faithfulness(scene)


def lens(scene: Scene, rounds: int) -> Iterator[Row]:
    """The answer's rows, and the image tokens too."""
    hf = against("transformers")
    took = time_sides(
        {
            "forward": plain.forward(scene),
            "rows": lambda: ours.run(scene, LensParameters(image=False)),
            "image": lambda: ours.run(scene, LensParameters(image=True)),
            "plain": plain.hidden_states(scene),
        },
        rounds,
        scene.device,
    )
    forward = took["forward"].seconds
    yield Row("logit lens, all layers, answer rows", took["rows"].seconds / forward, "x forward", **hf)
    yield Row("logit lens, all layers, image tokens too", took["image"].seconds / forward, "x forward", **hf)
    logits = took["plain"].result
    real = logits.softmax(-1).gather(-1, scene.inputs.answer_ids[None, :, None].expand(len(logits), -1, 1))[..., 0]
    difference = relative(stack(took["rows"].result, "prob"), real)
    yield Row("logit lens, largest difference from output_hidden_states", difference, "relative", "<= 1e-4", **hf)


def matrix(scene: Scene, rounds: int) -> Iterator[Row]:
    """The head-mean matrix of all rows, in cells; eager attention stores it whole."""
    hf = against("transformers")
    sides = {
        "forward": plain.forward(scene),
        "ours": ours.matrix(scene),
        "eager": plain.output_attentions(scene),
    }
    took = time_sides(sides, rounds, scene.device)
    name, own = "attention matrix in cells, all layers", took["ours"].seconds
    yield Row(name, own / took["forward"].seconds, "x forward", **hf)
    yield Row(f"{name}, against output_attentions", took["eager"].seconds / own, "x faster", **hf)


def knockout(scene: Scene, rounds: int) -> Iterator[Row]:
    """All edges and windows, against a masked call for each."""
    hf, inputs, layers = against("transformers"), scene.inputs, scene.size.layers
    edges, width = find_edges(inputs), KnockoutParameters().window
    some = sorted({0, layers // 2, layers - 1})

    def calls() -> torch.Tensor:
        cut = [[plain.knock_out(scene, e.keys, e.queries, window_of(at, width, layers)) for e in edges] for at in some]
        return torch.stack([torch.stack(row) for row in cut])

    took = time_sides(
        {"forward": plain.forward(scene), "ours": ours.knockout(scene), "calls": calls}, rounds, scene.device
    )
    own, a_call = took["ours"].seconds, took["calls"].seconds / (len(some) * len(EDGES))
    name = f"knockout, {len(EDGES)} edges, {layers} windows"
    yield Row(name, own / took["forward"].seconds, "x forward", **hf)
    yield Row(f"{name}, against a masked call for each", a_call * layers * len(EDGES) / own, "x faster", **hf)
    made = stack(took["ours"].result, "logprob")[some]
    yield Row(
        f"{name}, largest difference from masked calls",
        relative(made, took["calls"].result),
        "relative",
        "<= 1e-4",
        **hf,
    )


def faithfulness(scene: Scene) -> Iterator[Row]:
    """Curves of the maps of one layer, against a call for each point."""
    hf, inputs = against("transformers"), scene.inputs
    parameters, layer = FaithfulnessParameters(steps=4, orders=1), scene.size.layers // 2
    image = inputs.image_positions
    n = len(image)
    cam = torch.as_tensor(ours.run(scene, parameters=_one_cam(), layers=[layer])[0].arrays["heat"][0])
    order = cam.argsort(descending=True, stable=True).to(image.device)
    counts = [round(step * n / parameters.steps) for step in range(1, parameters.steps)]

    def removed() -> torch.Tensor:
        return torch.stack([plain.without(scene, image[order[:count]]).mean().exp() for count in counts])

    sides: dict[str, Work] = {
        "forward": plain.forward(scene),
        "ours": lambda: ours.run(scene, parameters, [layer]),
        "calls": removed,
    }
    took = time_sides(sides, 1, scene.device)
    orders = len(MAPS) + parameters.orders
    # Both curves, without the points that are the whole image.
    points = 2 * orders * parameters.steps
    own = took["ours"].seconds
    name = f"faithfulness, {orders} orders, {points} points"
    yield Row(name, own / took["forward"].seconds, "x forward", **hf)
    yield Row(f"{name}, against a call for each", took["calls"].seconds / len(counts) * points / own, "x faster", **hf)
    made = torch.as_tensor(took["ours"].result[0].arrays["deletion"][0, 1:-1])
    yield Row(
        f"{name}, largest difference from calls", relative(made, took["calls"].result), "relative", "<= 1e-4", **hf
    )


def _one_cam() -> ours.CamParameters:
    return ours.CamParameters(per_token=False)
