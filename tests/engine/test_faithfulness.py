"""Insertion and deletion curves against whole masked passes, one per point."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from flowtui.engine import attention, cam, faithfulness
from flowtui.engine.inputs import Inputs
from flowtui.engine.models import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.shapes import MAPS
from flowtui.engine.spec import AttentionParameters, CamParameters, FaithfulnessParameters
from flowtui.errors import CancelledError, UsageError
from tests.engine.oracles import hooks_left, masked_logits

# A probability from float32 logits that differ by up to 1e-4 (test_truncation) differs by as much at most.
ATOL = 1e-4


def compute(
    loaded: Loaded,
    inputs: Inputs,
    parameters: FaithfulnessParameters,
    layers: Sequence[int],
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, LayerResult]:
    results: list[LayerResult] = []
    faithfulness.run(loaded, inputs, parameters, layers, results.append, check)
    return {r.layer: r for r in results}


def slow(loaded: Loaded, inputs: Inputs, gone: Tensor) -> float:
    """The answer's probability without these image tokens, by hiding them from every layer."""
    logits = masked_logits(loaded, inputs.model_inputs, 0, gone)[inputs.answer_rows].double()
    return float(logits.log_softmax(-1).gather(-1, inputs.answer_ids[:, None]).mean().exp())


def ranked(loaded: Loaded, inputs: Inputs, layer: int) -> dict[str, np.ndarray]:
    """Image tokens of each map, hottest first, from the analyses themselves."""
    found: list[LayerResult] = []
    cam.run(loaded, inputs, CamParameters(), [layer], found.append, lambda _l, _f: None)
    attention.run(loaded, inputs, AttentionParameters(), [layer], found.append, lambda _l, _f: None)
    heat = {"cam": found[0].arrays["heat"][0], "attention": found[1].arrays["image_rows"].mean(0)}
    return {name: np.argsort(-values, kind="stable") for name, values in heat.items()}


@pytest.mark.parametrize("layer", [0, 2])
def test_every_point_equals_a_whole_masked_pass(tiny_llava: Loaded, tiny_inputs: Inputs, layer: int) -> None:
    arrays = compute(tiny_llava, tiny_inputs, FaithfulnessParameters(steps=5), [layer])[layer].arrays
    n = len(tiny_inputs.image_positions)
    counts = [round(i * n / 5) for i in range(6)]
    np.testing.assert_allclose(arrays["fraction"], np.array(counts) / n, rtol=1e-6)
    for name, order in ranked(tiny_llava, tiny_inputs, layer).items():
        row = MAPS.index(name)  # type: ignore[arg-type]
        positions = tiny_inputs.image_positions[order.copy()]
        for i, count in enumerate(counts):
            assert arrays["deletion"][row, i] == pytest.approx(
                slow(tiny_llava, tiny_inputs, positions[:count]), abs=ATOL
            )
            assert arrays["insertion"][row, i] == pytest.approx(
                slow(tiny_llava, tiny_inputs, positions[count:]), abs=ATOL
            )
    # Else the image would not matter, and every curve would be right.
    assert np.ptp(arrays["deletion"]) > 10 * ATOL
    assert hooks_left(tiny_llava.model) == 0


def test_both_curves_run_between_the_whole_image_and_none(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    for result in compute(tiny_llava, tiny_inputs, FaithfulnessParameters(steps=3), range(4)).values():
        removed, added = result.arrays["deletion"], result.arrays["insertion"]
        np.testing.assert_allclose(removed[:, 0], added[:, -1], atol=ATOL)
        np.testing.assert_allclose(removed[:, -1], added[:, 0], atol=ATOL)
        assert (removed[:, -1] == removed[0, -1]).all()


def test_random_orders_are_seeded_and_the_same_at_every_layer(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    def last_row(seed: int, orders: int) -> np.ndarray:
        parameters = FaithfulnessParameters(steps=4, orders=orders, seed=seed)
        found = compute(tiny_llava, tiny_inputs, parameters, [1, 2])
        np.testing.assert_allclose(found[1].arrays["deletion"][-1], found[2].arrays["deletion"][-1], rtol=1e-6)
        return found[1].arrays["deletion"][-1]

    first = last_row(0, 1)
    assert (first == last_row(0, 1)).all()
    assert np.abs(first - last_row(1, 1)).max() > ATOL
    # The mean of one order and another lies between them.
    assert np.abs(first - last_row(0, 2)).max() > 0


def test_a_map_that_is_zero_ranks_nothing(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    last = compute(tiny_llava, tiny_inputs, FaithfulnessParameters(steps=2), [3])[3].arrays
    assert last["ranked"].tolist()[:2] == [False, True]
    positions = tiny_inputs.image_positions
    assert last["deletion"][0, 1] == pytest.approx(slow(tiny_llava, tiny_inputs, positions[:72]), abs=ATOL)


def test_small_chunks_change_nothing(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = FaithfulnessParameters(steps=3)
    whole = compute(tiny_llava, tiny_inputs, parameters, range(4))
    monkeypatch.setattr(faithfulness, "rows_per_chunk", lambda row_bytes: 5)
    for layer, result in compute(tiny_llava, tiny_inputs, parameters, range(4)).items():
        for name in ("deletion", "insertion"):
            np.testing.assert_allclose(result.arrays[name], whole[layer].arrays[name], atol=ATOL)


def test_no_such_layer(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    assert compute(tiny_llava, tiny_inputs, FaithfulnessParameters(), []) == {}
    with pytest.raises(UsageError, match="0 to 3"):
        compute(tiny_llava, tiny_inputs, FaithfulnessParameters(), [4])


@pytest.mark.parametrize("stop", [0, 9, 20])
def test_progress_rises_and_a_cancel_leaves_nothing(tiny_llava: Loaded, tiny_inputs: Inputs, stop: int) -> None:
    fractions: list[float] = []

    def check(_: int, fraction: float) -> None:
        fractions.append(fraction)
        if len(fractions) > stop:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        compute(tiny_llava, tiny_inputs, FaithfulnessParameters(steps=2), range(4), check)
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    assert hooks_left(tiny_llava.model) == 0
    assert torch.is_grad_enabled()
