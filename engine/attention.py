"""Attention shares: where each answer token's row looks, by token group, layer and head.

Source: Zhang et al., NAACL 2025, Eq. 6-9. Shares are over all four groups, so they sum to 1; the paper's normalisation
(Eq. 7, without the answer), the view without the sink and the view per token all follow from the stored numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .inputs import Inputs
from .loaded import Loaded
from .results import GROUPS, LayerResult
from .rows import Chunk, Watch, watch
from .spec import AttentionParameters


class _Enough(Exception):  # noqa: N818 - nothing went wrong: the layers asked for are there
    """Ends a forward pass after the last layer of interest."""


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: AttentionParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the attention analysis in one forward pass; arrays as in `flowtui.engine.results`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: Which rows, and whether to deliver every head's whole row.
        layers: Layers wanted.
        on_layer: Gets each layer's result as soon as that layer has run.
        check: Called with (layer, fraction done) after each layer; may raise to cancel.
    """
    if not layers:
        return
    rows = inputs.answer_rows + (parameters.rows == "own")
    collector = _Collector(inputs, parameters, rows, sorted(set(layers)), on_layer, check)
    attending = collector.without(loaded.attending)
    if attending:
        with suppress(_Enough), torch.inference_mode(), watch(loaded, Watch(rows, attending, collector.take)):
            loaded.model(**inputs.model_inputs, use_cache=False)


class _Collector:
    """Turns chunks of rows into layer results."""

    def __init__(
        self,
        inputs: Inputs,
        parameters: AttentionParameters,
        rows: Tensor,
        layers: list[int],
        on_layer: Callable[[LayerResult], None],
        check: Callable[[int, float], None],
    ) -> None:
        self.layers, self.on_layer, self.check = layers, on_layer, check
        self.rows, self.parameters, self.image_positions = rows, parameters, inputs.image_positions
        group = torch.as_tensor(inputs.prepared.tokens.group, dtype=torch.int64, device=rows.device)
        self.member = torch.nn.functional.one_hot(group, len(GROUPS)).float()
        self.text_positions = (group != GROUPS.index("image")).nonzero()[:, 0]
        self.done = 0
        self.parts: list[dict[str, Tensor]] = []

    def without(self, attending: Collection[int]) -> list[int]:
        """Delivers the layers that have no attention, as no heads; returns the others."""
        t, n, grouped = len(self.rows), len(self.image_positions), (len(self.rows), 0, len(GROUPS))
        shapes = {
            "share": grouped,
            "value_share": grouped,
            "sink": (t, 0),
            "image_rows": (t, n),
            "text_rows": (t, len(self.text_positions)),
            "head_rows": (0, n),
            "entropy": (t, 0),
        }
        if self.parameters.weights:
            shapes["weights"] = (t, 0, len(self.member))
        for layer in self.layers:
            if layer not in attending:
                self._deliver(layer, {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()})
        return [layer for layer in self.layers if layer in attending]

    def take(self, chunk: Chunk) -> None:
        weights = chunk.weights.transpose(0, 1)
        valued = (weights * chunk.value_norm) @ self.member
        part = {
            "share": weights @ self.member,
            # A row whose values are all zero moves nothing: no group has a share, and none is invented.
            "value_share": valued / valued.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny),
            "sink": weights[..., 0],
            "image_rows": weights.mean(1)[:, self.image_positions],
            "text_rows": weights.mean(1)[:, self.text_positions],
            "head_rows": weights[..., self.image_positions].sum(0, keepdim=True) / len(self.rows),
            "entropy": torch.special.entr(weights).sum(-1),
        }
        if self.parameters.weights:
            part["weights"] = weights
        self.parts.append({name: tensor.cpu() for name, tensor in part.items()})
        if chunk.start + len(weights) == len(self.rows):
            self._finish(chunk.layer)

    def _finish(self, layer: int) -> None:
        arrays = {name: torch.cat([part[name] for part in self.parts]).numpy() for name in self.parts[0]}
        # Each chunk's is its part of the mean over answer rows.
        arrays["head_rows"] = arrays["head_rows"].sum(0)
        self.parts = []
        self._deliver(layer, arrays)
        if self.done == len(self.layers):
            raise _Enough

    def _deliver(self, layer: int, arrays: dict[str, NDArray[np.float32]]) -> None:
        self.done += 1
        self.on_layer(LayerResult("attention", layer, arrays))
        self.check(layer, self.done / len(self.layers))
