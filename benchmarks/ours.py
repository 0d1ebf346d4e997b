"""Our side: each analysis as the engine runs it, all layers."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scene import Scene
from benchmarks.timing import Work
from flowtui.engine.analyses import run_analysis
from flowtui.engine.inputs import Inputs
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import PARAMETERS, AttentionParameters, CamParameters, FaithfulnessParameters, Parameters


def run(
    scene: Scene, parameters: Parameters, layers: Sequence[int] | None = None, inputs: Inputs | None = None
) -> list[LayerResult]:
    """Runs an analysis; its results in ascending order of layers."""
    found: list[LayerResult] = []
    run_analysis(
        scene.loaded,
        scene.inputs if inputs is None else inputs,
        parameters,
        layers,
        found.append,
        lambda layer, fraction: None,
        lambda: False,
    )
    return sorted(found, key=lambda result: result.layer)


def analysis(scene: Scene, name: str) -> Work:
    """An analysis with its default parameters."""
    parameters = PARAMETERS[name]()
    scene.inputs  # noqa: B018 - prepared before the clock runs
    return lambda: run(scene, parameters)


def short_faithfulness(scene: Scene) -> Work:
    """The fewest curves that there are: the maps of one layer, with one point inside each curve."""
    scene.inputs  # noqa: B018
    middle = scene.size.layers // 2
    return lambda: run(scene, FaithfulnessParameters(steps=2, orders=1), [middle])


def attention(scene: Scene) -> Work:
    """Shares and head-mean image rows of every layer."""
    return analysis(scene, "attention")


def attention_rows(scene: Scene) -> Work:
    """The same with every head's whole rows."""
    scene.inputs  # noqa: B018
    return lambda: run(scene, AttentionParameters(weights=True))


def cam(scene: Scene) -> Work:
    """One map per layer, all answer tokens together."""
    scene.inputs  # noqa: B018
    return lambda: run(scene, CamParameters(per_token=False))


def cam_per_token(scene: Scene) -> Work:
    """One map per layer and answer token."""
    return analysis(scene, "cam")


def saliency(scene: Scene) -> Work:
    """Flows between groups and image rows of every layer."""
    return analysis(scene, "saliency")


def truncation(scene: Scene) -> Work:
    """Log-probabilities and KL for every K; the scene's inputs let greedy text end after one token."""
    return analysis(scene, "truncation")


def truncation_with_text(scene: Scene, tokens: int) -> Work:
    """The same with the greedy text of every K, up to so many tokens."""
    parameters, inputs = PARAMETERS["truncation"](), scene.prepare(tokens)
    return lambda: run(scene, parameters, inputs=inputs)


def matrix(scene: Scene) -> Work:
    """The head-mean attention matrix of every layer, in cells."""
    return analysis(scene, "matrix")


def lens(scene: Scene) -> Work:
    """Logit lens of every layer, with every image token's."""
    return analysis(scene, "lens")


def knockout(scene: Scene) -> Work:
    """Every edge, every window."""
    return analysis(scene, "knockout")
