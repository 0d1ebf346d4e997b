"""Logit lens: what the model would say if it stopped after each layer.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens". A layer's output residual stream goes through the final
norm and the head, the last layer's included, where that gives the model's own logits. At the answer rows it shows when
the answer appears; at the image tokens, which word a patch is nearest to (Neo et al. 2024, arXiv 2410.07149).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from flowtui.errors import ModelError, UsageError

from ._logits import head
from .budget import rows_per_chunk
from .inputs import Inputs
from .loaded import Loaded
from .results import LayerResult
from .sequence import Array
from .spec import LensParameters
from .token_texts import write_texts

ANALYSIS = "lens"


class _Enough(Exception):  # noqa: N818 - nothing went wrong: the layers asked for are there
    """Ends a forward pass after the last layer of interest."""


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: LensParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the logit lens in one forward pass; arrays as in `flowtui.engine.shapes`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: How many tokens to keep at each answer row, and whether to look at the image tokens too.
        layers: Layers wanted.
        on_layer: Gets each layer's result as soon as that layer has run; the pass ends after the last.
        check: Called with (layer, fraction done) after each layer; may raise to cancel.

    Raises:
        UsageError: A layer out of range.
        ModelError: A layer's residual stream or logits overflow the model's number format.
    """
    wanted = sorted(set(layers))
    if not wanted:
        return
    if wanted[0] < 0 or wanted[-1] >= len(loaded.layers):
        raise UsageError(f"Layers run from 0 to {len(loaded.layers) - 1} here, not {wanted[0]} to {wanted[-1]}.")
    lens = _Lens(loaded, inputs, parameters)

    def leave(layer: int, output: Any) -> None:
        hidden = output if isinstance(output, Tensor) else output[0]
        # Where a layer flattens batch and tokens (OPT): of a batch of one that is the same.
        on_layer(lens.read(layer, hidden.reshape(-1, hidden.shape[-1])))
        done = wanted.index(layer) + 1
        check(layer, done / len(wanted))
        if done == len(wanted):
            raise _Enough

    def hook(layer: int) -> Callable[[nn.Module, object, Any], None]:
        return lambda _module, _args, output: leave(layer, output)

    with suppress(_Enough), torch.inference_mode(), ExitStack() as hooks:
        for layer in wanted:
            hooks.callback(loaded.layers[layer].register_forward_hook(hook(layer)).remove)
        loaded.model(**inputs.model_inputs, use_cache=False)


class _Lens:
    """Reads tokens off a residual stream, some rows at a time, for one row of logits has the vocabulary's length."""

    def __init__(self, loaded: Loaded, inputs: Inputs, parameters: LensParameters) -> None:
        self.loaded, self.inputs, self.parameters = loaded, inputs, parameters

    def read(self, layer: int, hidden: Tensor) -> LayerResult:
        """The result of one layer, from its residual stream [N d_model]."""
        arrays = self._answer(hidden)
        if self.parameters.image:
            arrays |= self._image(hidden)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelError(
                f"Layer {layer}'s logits overflow {self.loaded.info.dtype}.",
                "Load the model with --dtype bfloat16 or --dtype float32.",
            )
        ids = {int(i) for name in ("ids", "image_ids") if name in arrays for i in arrays[name].flat}
        texts = {i: str(self.loaded.processor.tokenizer.decode([i])) for i in sorted(ids)}
        return LayerResult(ANALYSIS, layer, arrays, write_texts(texts))

    def _answer(self, hidden: Tensor) -> dict[str, Array]:
        def look(logits: Tensor, start: int) -> tuple[Tensor, ...]:
            # A vocabulary may be smaller than what is asked for.
            top = logits.topk(min(self.parameters.top, logits.shape[-1]), -1)
            answer = self.inputs.answer_ids[start : start + len(logits)].to(logits.device)[:, None]
            of_answer = logits.gather(-1, answer)
            total = logits.logsumexp(-1, keepdim=True)
            rank = (logits > of_answer).sum(-1)
            return top.indices, (top.values - total).exp(), rank, (of_answer - total).exp()[:, 0]

        ids, probs, rank, prob = self._chunks(hidden, self.inputs.answer_rows, look)
        return {"ids": _whole(ids), "probs": _real(probs), "rank": _whole(rank), "prob": _real(prob)}

    def _image(self, hidden: Tensor) -> dict[str, Array]:
        def look(logits: Tensor, _: int) -> tuple[Tensor, ...]:
            top = logits.max(-1)
            return top.indices, (top.values - logits.logsumexp(-1)).exp()

        ids, probs = self._chunks(hidden, self.inputs.image_positions, look)
        return {"image_ids": _whole(ids), "image_probs": _real(probs)}

    def _chunks(
        self, hidden: Tensor, rows: Tensor, look: Callable[[Tensor, int], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `look` makes of the logits [chunk V] of some rows [R], put together."""
        # The head's own logits, soft-capped ones, the same in float32, and what a reduction needs beside them.
        step = rows_per_chunk(4 * len(cast(Any, self.loaded.lm_head).weight) * 4)
        rows = rows.to(hidden.device)
        parts = [
            tuple(part.cpu() for part in look(head(self.loaded, hidden[rows[start : start + step]]), start))
            for start in range(0, len(rows), step)
        ]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def _whole(tensor: Tensor) -> Array:
    array: Array = tensor.to(torch.int32).numpy()
    return array


def _real(tensor: Tensor) -> Array:
    array: Array = tensor.float().numpy()
    return array
