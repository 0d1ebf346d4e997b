"""Knockout against one whole masked pass for every edge and window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from flowtui.engine import knockout
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.rows import Cut
from flowtui.engine.shapes import EDGES
from flowtui.engine.spec import KnockoutParameters, RunSpec
from flowtui.errors import CancelledError, UnsupportedModelError, UsageError
from tests.engine.oracles import cut_connections, hooks_left, load_random_demo
from tests.engine.test_walk import FAMILIES, build
from tests.factories import png

# Same operations on other batch shapes in float32; see test_truncation.
ATOL = 1e-4


def compute(
    loaded: Loaded,
    inputs: Inputs,
    window: int = 3,
    layers: Sequence[int] | None = None,
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, LayerResult]:
    results: list[LayerResult] = []
    wanted = range(len(loaded.layers)) if layers is None else layers
    knockout.run(loaded, inputs, KnockoutParameters(window), wanted, results.append, check)
    assert [r.layer for r in results] == sorted(set(wanted))
    return {r.layer: r for r in results}


def slow(loaded: Loaded, inputs: Inputs, edge: str, layers: Sequence[int]) -> np.ndarray:
    """The answer's log-probabilities from one whole pass with a mask written out by hand."""
    first, last = inputs.prompt_length - 1, inputs.length - 2
    source, target = edge.split("->")
    names = np.array(["system", "image", "user", "answer"])
    keys = names[inputs.prepared.tokens.group]
    queries = keys.copy()
    queries[first : last + 1] = "answer"
    # The last token's row predicts nothing here.
    queries[last + 1 :] = ""
    connected = torch.from_numpy((queries == target)[:, None] & (keys == source)[None, :])

    def gone(layer: int, n: int) -> Tensor:
        return connected & ~torch.eye(n, dtype=torch.bool) & (layer in layers)

    with torch.no_grad(), cut_connections(loaded, gone):
        logits = loaded.model(**inputs.model_inputs, use_cache=False).logits[0, first : last + 1].double()
    return logits.log_softmax(-1)[torch.arange(last + 1 - first), inputs.answer_ids].numpy()


def assert_equals_slow(loaded: Loaded, inputs: Inputs, window: int) -> None:
    count = len(loaded.layers)
    moved = dict.fromkeys(EDGES, 0.0)
    for centre, result in compute(loaded, inputs, window).items():
        cut = [layer for layer in range(count) if centre - (window - 1) // 2 <= layer <= centre + window // 2]
        base = result.arrays["base"]
        np.testing.assert_allclose(base, slow(loaded, inputs, "image->answer", ()), atol=ATOL)
        for edge, made in zip(EDGES, result.arrays["logprob"], strict=True):
            np.testing.assert_allclose(made, slow(loaded, inputs, edge, cut), atol=ATOL, err_msg=f"{edge} {centre}")
            moved[edge] = max(moved[edge], float(np.abs(made - base).max()))
    # Else all of it could have passed without a cut.
    assert all(value > 10 * ATOL for value in moved.values()), moved
    assert hooks_left(loaded.model) == 0


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_every_edge_and_window_equals_a_whole_masked_pass(tiny_llava: Loaded, tiny_inputs: Inputs, window: int) -> None:
    assert_equals_slow(tiny_llava, tiny_inputs, window)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str) -> None:
    assert_equals_slow(*build(family), 2)


def test_small_chunks_change_nothing(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compute(tiny_llava, tiny_inputs)
    lanes: list[int] = []
    real = knockout.walk

    def counted(a: object, b: object, some: list[object], *others: object, **named: object) -> object:
        lanes.append(len(some))
        return real(a, b, some, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(knockout, "walk", counted)
    monkeypatch.setattr(knockout, "rows_per_chunk", lambda row_bytes: 3)
    for layer, result in compute(tiny_llava, tiny_inputs).items():
        np.testing.assert_allclose(result.arrays["logprob"], whole[layer].arrays["logprob"], atol=ATOL)
    assert lanes == [3, 1] * len(EDGES)


def test_some_layers_alone(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    whole = compute(tiny_llava, tiny_inputs)
    for layer, result in compute(tiny_llava, tiny_inputs, layers=[2, 1]).items():
        np.testing.assert_allclose(result.arrays["logprob"], whole[layer].arrays["logprob"], atol=ATOL)
    assert compute(tiny_llava, tiny_inputs, layers=[]) == {}
    with pytest.raises(UsageError, match="0 to 3"):
        compute(tiny_llava, tiny_inputs, layers=[4])


def test_an_edge_that_is_not_there_changes_nothing(tiny_llava: Loaded) -> None:
    """By roles, nothing stands before the user's turn that is not the system's: here the groups are given by hand."""
    inputs = prepare(tiny_llava, RunSpec(model="x", images=(png(),), question="What color is the circle ?", answer="a"))
    inputs.prepared.tokens.group[inputs.prepared.tokens.group == 0] = 2
    row = EDGES.index("system->answer")
    for result in compute(tiny_llava, inputs).values():
        assert (result.arrays["logprob"][row] == result.arrays["base"]).all()


def test_the_self_test_sees_attention_on_a_cut_edge(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knockout, "Cut", lambda keys, queries: Cut(torch.zeros_like(keys), queries))
    with pytest.raises(UnsupportedModelError, match="still has attention"):
        compute(tiny_llava, tiny_inputs)
    assert hooks_left(tiny_llava.model) == 0


def test_the_self_test_sees_another_answer(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    edge = knockout.find_edges(tiny_inputs)[0]
    right = torch.as_tensor(compute(tiny_llava, tiny_inputs, 1)[2].arrays["logprob"][0])
    with torch.no_grad():
        knockout.self_test(tiny_llava, tiny_inputs, edge, range(2, 3), right, lambda _: None)
        with pytest.raises(UnsupportedModelError, match="one way and another"):
            knockout.self_test(tiny_llava, tiny_inputs, edge, range(2, 3), right + 0.1, lambda _: None)


@pytest.mark.parametrize("stop", [0, 5, 12])
def test_a_cancel_leaves_nothing(tiny_llava: Loaded, tiny_inputs: Inputs, stop: int) -> None:
    calls = 0

    def check(_: int, fraction: float) -> None:
        nonlocal calls
        assert 0 <= fraction <= 1
        calls += 1
        if calls > stop:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        compute(tiny_llava, tiny_inputs, check=check)
    assert hooks_left(tiny_llava.model) == 0


def test_the_demo_architecture(tmp_path_factory: pytest.TempPathFactory) -> None:
    loaded = load_random_demo(tmp_path_factory.mktemp("demo"))
    inputs = prepare(loaded, RunSpec(model="x", images=(png(),), question="What color is the circle ?", answer="red"))
    made = compute(loaded, inputs, 5, [0, 6, 11])
    for centre, result in made.items():
        cut = range(max(0, centre - 2), centre + 3)
        for edge, values in zip(EDGES, result.arrays["logprob"], strict=True):
            np.testing.assert_allclose(values, slow(loaded, inputs, edge, cut), atol=ATOL)
