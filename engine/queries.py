"""Where the query tokens of a Q-Former look on the image: the way from a value per query token to a map.

BLIP-2 and InstructBLIP put no patches into the decoder's sequence but a few query tokens, each of which may read the
whole image through the Q-Former's cross-attention. A query token has no place; its cross-attention weights are the only
thing that ties it to one. A map over query tokens becomes a map over patches by these weights.

Two readings:
- last: the last cross-attention layer, mean over heads. These are weights that the model uses, and the default; what
  earlier cross-attention layers put into a query token does not show.
- rollout: attention rollout (Abnar and Zuidema, ACL 2020) through the whole Q-Former, half of each sublayer's output
  being its input: each query's share of every patch, from all cross-attention layers and from what queries (and the
  question, in InstructBLIP) pass on to each other by self-attention. Departure: what still comes from the learnt query
  itself is left out, and the rest sums to 1.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from flowtui.errors import UnsupportedModelError

from .keptfeatures import encoding_anew
from .loaded import Loaded
from .results import Projection, Span
from .spans import resized

log = logging.getLogger(__name__)

Reading = Literal["last", "rollout"]


@dataclass(frozen=True, slots=True)
class Step:
    """One attention of the Q-Former.

    Attributes:
        cross: Whether its keys are the image's patches; else they are the Q-Former's own tokens, queries first.
        weights: [row key] float32, mean over heads, sums to 1 over key; the rows of a cross-attention are the queries.
    """

    cross: bool
    weights: Tensor


@dataclass(frozen=True, slots=True)
class QueryMap:
    """Where each query token looks.

    Attributes:
        weights: [query row col] float32, >= 0; with `elsewhere` they sum to 1 for each query.
        elsewhere: [query] float32, what goes to the class token, which has no place.
        box_px: The rectangle that the grid covers in the original image: (left, top, right, bottom) pixels.
    """

    weights: NDArray[np.float32]
    elsewhere: NDArray[np.float32]
    box_px: tuple[float, float, float, float]

    def project(self, values: NDArray[Any]) -> NDArray[Any]:
        """Takes values over query tokens [... query] to the image [... row col]; their sum shrinks by `elsewhere`."""
        return np.tensordot(values, self.weights, 1)


def find_projections(
    loaded: Loaded, model_inputs: Mapping[str, Tensor], spans: Sequence[Span], image_sizes: Sequence[tuple[int, int]]
) -> tuple[Projection | None, ...]:
    """Where each span's tokens look, by the last cross-attention; empty where the model has no Q-Former to tell.

    Args:
        loaded: The model.
        model_inputs: Of the prompt.
        spans: Of the prompt; only a model with one image per prompt has a Q-Former.
        image_sizes: (width, height) of the original images.
    """
    if len(spans) != 1 or spans[0].rows or _qformer(loaded) is None:
        return ()
    try:
        found = query_map(loaded, model_inputs, image_sizes[0])
    except UnsupportedModelError as error:
        # A model whose Q-Former does not tell has everything but maps.
        log.warning("%s", error.message)
        return ()
    queries, rows, cols = found.weights.shape
    return (Projection(found.weights.reshape(queries, -1), rows, cols, found.box_px),)


def query_map(
    loaded: Loaded, model_inputs: Mapping[str, Tensor], image_px: tuple[int, int], reading: Reading = "last"
) -> QueryMap:
    """Reads the Q-Former's cross-attention in one pass of vision tower and Q-Former.

    Args:
        loaded: The model.
        model_inputs: Of one prompt with one image.
        image_px: (width, height) of the original image.
        reading: Which reading of the weights.

    Raises:
        UnsupportedModelError: The model has no Q-Former, or its keys are not a class token and a grid of patches.
    """
    steps = read_steps(loaded, model_inputs)
    weights = last(steps) if reading == "last" else rollout(steps)
    pixels, patch = model_inputs["pixel_values"], getattr(loaded.model.config.vision_config, "patch_size", None)
    if not isinstance(patch, int):
        raise UnsupportedModelError(f"The {loaded.info.family} model's vision tower has no patches of one size.")
    rows, cols = pixels.shape[-2] // patch, pixels.shape[-1] // patch
    if weights.shape[1] != 1 + rows * cols:
        raise UnsupportedModelError(
            f"The Q-Former's {weights.shape[1]} keys are no class token and {rows} x {cols} patches."
        )
    placed = resized(cast(Any, loaded.processor).image_processor, image_px, (pixels.shape[-1], pixels.shape[-2]))
    box = placed.to_original((0.0, 0.0, float(cols * patch), float(rows * patch)))
    found = weights.cpu().numpy()
    return QueryMap(found[:, 1:].reshape(-1, rows, cols), found[:, 0], box)


def last(steps: Sequence[Step]) -> Tensor:
    """Weights of the last cross-attention: [query key] float32."""
    return [step.weights for step in steps if step.cross][-1]


def rollout(steps: Sequence[Step]) -> Tensor:
    """Each query's share of every key through all steps: [query key] float32, sums to 1 over key."""
    queries, keys = next(step.weights.shape for step in steps if step.cross)
    tokens = next((len(step.weights) for step in steps if not step.cross), queries)
    share = steps[0].weights.new_zeros(tokens, keys)
    for step in steps:
        if step.cross:
            share = torch.cat([(share[:queries] + step.weights) / 2, share[queries:]])
        else:
            share = (share + step.weights @ share) / 2
    return share[:queries] / share[:queries].sum(-1, keepdim=True)


@torch.no_grad()
def read_steps(loaded: Loaded, model_inputs: Mapping[str, Tensor]) -> list[Step]:
    """Every attention of the Q-Former, in the order in which they run.

    Raises:
        UnsupportedModelError: The model has no Q-Former that gives its weights.
    """
    qformer = _qformer(loaded)
    if qformer is None:
        raise UnsupportedModelError(f"The {loaded.info.family} model has no Q-Former.")
    steps: list[Step] = []

    def look(_: nn.Module, __: object, kwargs: dict[str, Any], output: Any) -> None:
        weights = next((o for o in output if isinstance(o, Tensor) and o.ndim == 4), None)
        if weights is not None:
            steps.append(Step(kwargs.get("encoder_hidden_states") is not None, weights[0].float().mean(0)))

    features = cast(Any, loaded.model).get_image_features
    wanted = {name: model_inputs[name] for name in signature(features).parameters if name in model_inputs}
    hooks = [
        module.register_forward_hook(look, with_kwargs=True)
        for module in qformer.modules()
        # The innermost module that is handed the keys gives the weights.
        if "encoder_hidden_states" in signature(module.forward).parameters and hasattr(module, "scaling")
    ]
    try:
        with _eager(qformer), encoding_anew():
            features(**wanted)
    finally:
        for hook in hooks:
            hook.remove()
    if not any(step.cross for step in steps):
        raise UnsupportedModelError(f"The {loaded.info.family} model's Q-Former gives no cross-attention weights.")
    return steps


def _qformer(loaded: Loaded) -> PreTrainedModel | None:
    for name, module in loaded.model.named_modules():
        if name.rpartition(".")[2] == "qformer" and isinstance(module, PreTrainedModel):
            return module
    return None


@contextmanager
def _eager(module: PreTrainedModel) -> Iterator[None]:
    """Inside, the module's attention is the formula, which returns its weights: they are few here."""
    config: Any = module.config
    before = config._attn_implementation
    try:
        config._attn_implementation = {"": "eager"}
        yield
    finally:
        config._attn_implementation = {"": before}
