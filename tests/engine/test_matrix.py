"""The attention matrix against eager attention, summed the slow way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from flowtui.engine import matrix, rows
from flowtui.engine.inputs import Inputs
from flowtui.engine.models import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import MatrixParameters
from flowtui.errors import CancelledError
from tests.engine.oracles import hooks_left


def compute(
    loaded: Loaded, inputs: Inputs, cells: int = 16, layers: tuple[int, ...] = (0, 1, 2, 3)
) -> list[LayerResult]:
    found: list[LayerResult] = []
    matrix.run(loaded, inputs, MatrixParameters(cells), layers, found.append, lambda _layer, _fraction: None)
    return found


@pytest.mark.parametrize("chunk", [None, 7])
def test_equals_eager_attention(
    tiny_llava: Loaded, tiny_inputs: Inputs, chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chunk is not None:
        monkeypatch.setattr(rows, "rows_per_chunk", lambda row_bytes: chunk)
    eager = LlavaForConditionalGeneration.from_pretrained(tiny_llava.info.directory, attn_implementation="eager").eval()
    with torch.no_grad():
        weights = eager(**tiny_inputs.model_inputs, output_attentions=True, use_cache=False).attentions
    found = compute(tiny_llava, tiny_inputs)
    assert [r.layer for r in found] == [0, 1, 2, 3]
    for result in found:
        mean = weights[result.layer][0].double().mean(0).numpy()
        edges = result.arrays["edges"]
        slow = np.array([[mean[a:b, c:d].sum(1).mean() for c, d in pairwise(edges)]
                         for a, b in pairwise(edges)])  # fmt: skip
        # Sums of up to a few hundred float32 weights.
        np.testing.assert_allclose(result.arrays["share"], slow, atol=1e-5)
        np.testing.assert_allclose(result.arrays["share"].sum(1), 1, atol=1e-5)
    assert hooks_left(tiny_llava.model) == 0


def test_cells_keep_to_their_group(tiny_inputs: Inputs) -> None:
    group = tiny_inputs.prepared.tokens.group
    for cells in (4, 16, 64, 1024):
        edges = matrix.cell_edges(group, cells)
        assert edges[0] == 0
        assert edges[-1] == len(group)
        assert (np.diff(edges) > 0).all()
        assert all(len(set(group[a:b])) == 1 for a, b in pairwise(edges))
        assert len(edges) - 1 <= max(cells, 4) + 4


def test_some_layers_and_a_cancel(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    every = compute(tiny_llava, tiny_inputs)
    (one,) = compute(tiny_llava, tiny_inputs, layers=(2,))
    assert (one.arrays["share"] == every[2].arrays["share"]).all()
    assert compute(tiny_llava, tiny_inputs, layers=()) == []

    def stop(layer: int, _: float) -> None:
        raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        matrix.run(tiny_llava, tiny_inputs, MatrixParameters(), [0, 1], lambda _: None, stop)
    assert hooks_left(tiny_llava.model) == 0
