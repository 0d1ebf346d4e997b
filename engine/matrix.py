"""The attention of all tokens to all tokens, in cells that keep to the groups: the paper's Figure 2B.

Source: Zhang et al., NAACL 2025, Figure 2B. Departure: a cell is a share, not a mean weight, so that cells of different
size compare and every row sums to 1. The whole [N N] matrix never exists: rows are read in chunks and summed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .inputs import Inputs
from .loaded import Loaded
from .results import LayerResult
from .rows import Chunk, Watch, watch
from .spec import MatrixParameters

ANALYSIS = "matrix"


class _Enough(Exception):  # noqa: N818 - nothing went wrong: the layers asked for are there
    """Ends a forward pass after the last layer of interest."""


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: MatrixParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the matrix of each layer in one forward pass; arrays as in `flowtui.engine.shapes`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: How fine.
        layers: Layers wanted.
        on_layer: Gets each layer's result, those without attention first, then as each has run.
        check: Called with (layer, fraction done) after each layer; may raise to cancel.
    """
    wanted = sorted(set(layers))
    if not wanted:
        return
    edges = cell_edges(inputs.prepared.tokens.group, parameters.cells)
    size = len(edges) - 1
    cell = torch.as_tensor(np.repeat(np.arange(size), np.diff(edges)), device=loaded.device)
    member = torch.nn.functional.one_hot(cell, size).float()
    counts = member.sum(0)
    summed = torch.zeros(size, size, device=loaded.device)
    done = 0

    def deliver(layer: int, share: Tensor) -> None:
        nonlocal done
        done += 1
        on_layer(LayerResult(ANALYSIS, layer, {"share": share.cpu().numpy(), "edges": edges}))
        check(layer, done / len(wanted))

    def take(chunk: Chunk) -> None:
        rows = slice(chunk.start, chunk.start + chunk.weights.shape[1])
        summed.index_add_(0, cell[rows], chunk.weights.mean(0) @ member)
        if rows.stop == len(cell):
            share = summed / counts[:, None]
            summed.zero_()
            deliver(chunk.layer, share)
            if done == len(wanted):
                raise _Enough

    attending = [layer for layer in wanted if loaded.attentions[layer] is not None]
    for layer in sorted(set(wanted) - set(attending)):
        deliver(layer, torch.zeros(size, size))
    if not attending:
        return
    everything = torch.arange(inputs.length, device=loaded.device)
    try:
        with torch.inference_mode(), watch(loaded, Watch(everything, attending, take)):
            loaded.model(**inputs.model_inputs, use_cache=False)
    except _Enough:
        pass


def cell_edges(group: NDArray[np.uint8], cells: int) -> NDArray[np.int32]:
    """First token of each cell, and N: [C+1] int32.

    Args:
        group: [N] uint8, each token's group.
        cells: About how many cells; every run of one group has at least one, and each of its cells as many tokens as
            the others of it, but for one.
    """
    n = len(group)
    starts = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), n]
    edges: list[int] = []
    for start, end in pairwise(starts):
        count = min(end - start, max(1, round(cells * (end - start) / n)))
        edges += [start + round(i * (end - start) / count) for i in range(count)]
    return np.array([*edges, n], dtype=np.int32)
