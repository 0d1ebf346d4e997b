"""Saliency flow: which tokens' attention to which tokens the answer's loss depends on, layer by layer.

Source: Wang et al. 2023, "Label Words are Anchors": I = |sum over heads of A * dLoss/dA|, cited by the paper. The
gradient needs no stored attention matrix: the attention's output is A V, so with dO the gradient at that output
dLoss/dA = dO V^T, head by head. One forward and one backward pass serve all layers; as the gradient reaches a layer,
its A is computed again from queries and keys, a chunk of rows at a time, and forgotten.

The gradient of a query row tells what the row says about *later* tokens, so the answer is read at the rows that predict
it: the query group `answer` is the answer rows, and its last token, which predicts nothing, is in no query group
(docs/decisions/0003-answer-rows-in-saliency.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from flowtui.errors import ModelError, UsageError

from ._logits import run_model
from .budget import rows_per_chunk
from .inputs import Inputs
from .loaded import Loaded
from .recompute import recomputed
from .results import GROUPS, LayerResult
from .rows import Scores, Watch, watch
from .spec import SaliencyParameters

ANALYSIS = "saliency"

FORWARD = 0.3
"""Part of the time that the forward pass takes, roughly; the rest is the backward pass."""

LOSS_SCALE = {torch.float16: 1024.0}
"""In half precision small gradients would vanish: the loss is enlarged by this, and its gradient made smaller again."""


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: SaliencyParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the saliency flow in one forward and one backward pass; arrays as in `flowtui.engine.shapes`.

    Args:
        loaded: The model, every parameter frozen.
        inputs: Prompt and answer.
        parameters: None yet.
        layers: Layers wanted.
        on_layer: Gets each layer's result as the gradient reaches it: in descending order. A layer without attention
            has no flow: all zero.
        check: Called with (layer, fraction done) for each layer of the forward and of the backward pass; may raise.

    Raises:
        UsageError: A layer out of range.
        ModelError: The gradients overflow the model's number format.
    """
    wanted = sorted(set(layers), reverse=True)
    if wanted and not 0 <= wanted[-1] <= wanted[0] < len(loaded.layers):
        raise UsageError(f"Layers run from 0 to {len(loaded.layers) - 1} here, not {wanted[-1]} to {wanted[0]}.")
    attending = [layer for layer in wanted if layer in loaded.attending]
    collector = _Collector(loaded, inputs, attending, on_layer, check)
    for layer in wanted:
        if layer not in attending:
            collector.deliver_zero(layer)
    if not attending:
        return
    nothing = torch.arange(0, device=loaded.device)
    what = Watch(nothing, [], None, on_output=collector.on_output)
    with torch.enable_grad(), watch(loaded, what), recomputed(list(loaded.layers[attending[-1] :])):
        logits = run_model(loaded, inputs.model_inputs, inputs.answer_rows)
        loss = torch.nn.functional.cross_entropy(logits, inputs.answer_ids)
        collector.backward(loss)


class _Collector:
    """Takes each attention's gradient as the backward pass reaches it and turns it into a layer's result."""

    def __init__(
        self,
        loaded: Loaded,
        inputs: Inputs,
        wanted: Sequence[int],
        on_layer: Callable[[LayerResult], None],
        check: Callable[[int, float], None],
    ) -> None:
        self.wanted, self.on_layer, self.check, self.inputs = wanted, on_layer, check, inputs
        self.dtype, self.scale = loaded.info.dtype, LOSS_SCALE.get(loaded.dtype, 1.0)
        self.groups = _Groups(inputs, loaded.device)
        self.first: Tensor | None = None
        self.going_back = False
        self.again: dict[int, tuple[Scores, Tensor]] = {}
        self.delivered = 0
        # The backward pass of a GPU has a thread of its own, where the size of chunks would not be known.
        self.context = copy_context()

    def deliver_zero(self, layer: int) -> None:
        """The result of a layer that has no attention."""
        shape = (len(self.inputs.answer_rows), len(self.inputs.image_positions))
        arrays = {"flow": np.zeros((len(GROUPS),) * 2, np.float32), "image_rows": np.zeros(shape, np.float32)}
        self.on_layer(LayerResult(ANALYSIS, layer, arrays))

    def on_output(self, layer: int, scores: Scores, value: Tensor, output: Tensor) -> Tensor:
        """Called in every attention: in the forward pass, and again when a layer is recomputed in the backward pass."""
        if layer < self.wanted[-1]:
            return output
        if layer == self.wanted[-1]:
            # Everything before this tensor is a constant: the backward pass ends here.
            output = output.detach().requires_grad_()
        if layer not in self.wanted:
            return output
        if self.going_back:
            self.again[layer] = scores, value
            return output
        done = len(self.wanted) - 1 - self.wanted.index(layer)
        self.check(layer, FORWARD * done / len(self.wanted))
        if self.first is None:
            self.first = output
        cast(Any, output).register_hook(lambda gradient: self.context.copy().run(self._take, layer, gradient))
        return output

    def backward(self, loss: Tensor) -> None:
        """Sends the gradient back to the first layer wanted."""
        assert self.first is not None
        self.going_back = True
        torch.autograd.grad(loss * self.scale, self.first)

    @torch.no_grad()
    def _take(self, layer: int, gradient: Tensor) -> None:
        """The gradient [1 N H d] at one attention's output has arrived; its queries and keys are there anew."""
        scores, value = self.again.pop(layer)
        flow, image_rows = (part / self.scale for part in _flow(scores, value, gradient, self.groups))
        if not bool(flow.isfinite().all()):
            raise ModelError(
                f"The gradients of the answer's loss overflow {self.dtype}.",
                "Load the model with --dtype bfloat16 or --dtype float32.",
            )
        arrays = {"flow": flow.float().numpy(), "image_rows": image_rows.cpu().numpy()}
        self.delivered += 1
        self.on_layer(LayerResult(ANALYSIS, layer, arrays))
        self.check(layer, FORWARD + (1 - FORWARD) * self.delivered / len(self.wanted))


class _Groups:
    """Which pairs of positions belong to which flow.

    Attributes:
        queries: [N 4] float32, 1 where a query row belongs to a group; the last position is in none.
        keys: [N 4] float32, the same for keys.
        pairs: [4 4] float64, number of pairs (query, key < query), query group first.
        answer: [N] int64, index of the answer token that a row predicts, or -1.
        image: [n] int64, image positions.
    """

    def __init__(self, inputs: Inputs, device: torch.device) -> None:
        group = torch.as_tensor(inputs.prepared.tokens.group, dtype=torch.int64)
        answer, rows = GROUPS.index("answer"), inputs.answer_rows.cpu()
        keys = torch.nn.functional.one_hot(group, len(GROUPS)).double()
        queries = keys.clone()
        queries[:, answer] = 0
        queries[rows] = 0
        queries[rows, answer] = 1
        # Keys before each position, by group.
        self.pairs = queries.T @ (keys.cumsum(0) - keys)
        self.queries, self.keys = queries.float().to(device), keys.float().to(device)
        self.answer = torch.full((len(group),), -1, device=device)
        self.answer[inputs.answer_rows] = torch.arange(len(rows), device=device)
        self.image = inputs.image_positions


def _flow(scores: Scores, value: Tensor, gradient: Tensor, groups: _Groups) -> tuple[Tensor, Tensor]:
    """One layer's saliency by groups [4 4] float64 on the CPU and at the answer rows [T n] float32."""
    # A layer may be on another device than the model's inputs.
    query_groups, key_groups, tokens, image = (
        part.to(gradient.device) for part in (groups.queries, groups.keys, groups.answer, groups.image)
    )
    heads, kv_heads, keys = scores.query.shape[1], value.shape[1], value.shape[2]
    gradient = gradient[0].transpose(0, 1)
    sums = torch.zeros_like(groups.pairs)
    image_rows = gradient.new_zeros((int(tokens.max()) + 1, len(image)), dtype=torch.float32)
    # A row without a gradient has no saliency: in the last layer that is every row but the answer's.
    moving = gradient.any(0).any(-1).nonzero()[:, 0]
    # Scores, weights, gradients and their product live at the same time.
    step = rows_per_chunk(4 * heads * keys * 4)
    values = value[0].float().transpose(-1, -2)[:, None]
    for rows in torch.split(moving, step) if len(moving) else ():
        reach = scores.reach(rows)
        weights = scores.weights(rows, reach)[0]
        of_rows = gradient[:, rows].float().reshape(kv_heads, heads // kv_heads, len(rows), -1)
        slope = (of_rows @ values[..., :reach]).reshape(weights.shape)
        saliency = weights.mul_(slope).sum(0).abs_()
        saliency.masked_fill_(torch.arange(reach, device=rows.device) >= rows[:, None], 0)
        sums += (query_groups[rows].T @ (saliency @ key_groups[:reach])).cpu().double()
        token = tokens[rows]
        whole = torch.nn.functional.pad(saliency[token >= 0], (0, keys - reach))
        image_rows[token[token >= 0]] = whole[:, image]
    return sums / groups.pairs.clamp_min(1), image_rows
