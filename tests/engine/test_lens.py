from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from flowtui.engine import budget, lens
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.results import LayerResult, Run
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import LensParameters, RunSpec
from flowtui.engine.token_texts import read_texts
from flowtui.errors import CancelledError, ModelError, UsageError
from tests.engine.families.fixed import FAMILIES
from tests.engine.oracles import hooks_left, load_random_demo
from tests.engine.tiny import ANSWER, QUESTION
from tests.factories import png

# Float32 on both sides: the same residual stream through the same norm and head, in other chunks.
TOLERANCE = 1e-5


def compute(
    loaded: Loaded,
    inputs: Inputs,
    parameters: LensParameters | None = None,
    layers: Sequence[int] | None = None,
    check: Callable[[int, float], None] = lambda layer, fraction: None,
) -> dict[int, LayerResult]:
    results: list[LayerResult] = []
    wanted = range(len(loaded.layers)) if layers is None else layers
    lens.run(loaded, inputs, parameters or LensParameters(), wanted, results.append, check)
    assert [r.layer for r in results] == sorted(set(wanted))
    for result in results:
        check_layer(Run.from_prepared(RunSpec(model="x", images=(png(),), question="?"), inputs.prepared), result)
    return {r.layer: r for r in results}


@pytest.fixture(scope="module", params=["tiny", "demo", "paligemma-2", "blip-2"])
def case(
    request: pytest.FixtureRequest, tiny_llava: Loaded, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Loaded, Inputs]:
    """Plain models, one with soft-capped logits, and one whose layers flatten batch and tokens."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "tiny":
        loaded = tiny_llava
    elif request.param == "demo":
        loaded = load_random_demo(folder)
    else:
        FAMILIES[request.param](folder)
        loaded = load_model(str(folder), dtype="float32", device="cpu")
    spec = RunSpec(model="x", images=(png(),), question=QUESTION, answer=ANSWER)
    return loaded, prepare(loaded, spec)


@torch.no_grad()
def expected(loaded: Loaded, inputs: Inputs) -> list[Tensor]:
    """Every layer's probabilities [N vocab]: transformers' hidden states, its norm, head and soft cap, written out."""
    output = loaded.model(**inputs.model_inputs, output_hidden_states=True, use_cache=False)
    states = output.hidden_states if output.get("hidden_states") else output.language_model_outputs.hidden_states
    cap = getattr(loaded.model.config.get_text_config(decoder=True), "final_logit_softcapping", None)
    made = []
    # The first state is the embedding; the last one has been through the norm already.
    for hidden in [loaded.final_norm(h[0]) for h in states[1:-1]] + [states[-1][0]]:
        logits = loaded.lm_head(hidden).double()
        made.append((logits if cap is None else cap * (logits / cap).tanh()).softmax(-1))
    assert len(made) == len(loaded.layers)
    torch.testing.assert_close(made[-1], output.logits[0].double().softmax(-1), rtol=0, atol=1e-6)
    return made


def test_every_layer_is_the_hidden_state_through_norm_and_head(case: tuple[Loaded, Inputs]) -> None:
    loaded, inputs = case
    made, probabilities = compute(loaded, inputs, LensParameters(top=4)), expected(loaded, inputs)
    for layer, result in made.items():
        arrays = result.arrays
        for t, (row, answer) in enumerate(zip(inputs.answer_rows, inputs.answer_ids, strict=True)):
            found = probabilities[layer][row]
            assert float(arrays["prob"][t]) == pytest.approx(float(found[answer]), abs=TOLERANCE)
            assert arrays["probs"][t] == pytest.approx(found.sort(descending=True).values[:4].numpy(), abs=TOLERANCE)
            # By their probabilities, for tokens that are alike may stand in any order.
            assert found[arrays["ids"][t]].numpy() == pytest.approx(arrays["probs"][t], abs=TOLERANCE)
            assert len(set(arrays["ids"][t])) == 4
            clear = (found - found[answer]).abs() > 2 * TOLERANCE
            above = int(((found > found[answer]) & clear).sum())
            assert above <= arrays["rank"][t] <= above + int((~clear).sum()) - 1
        for i, position in enumerate(inputs.image_positions):
            found = probabilities[layer][position]
            assert float(arrays["image_probs"][i]) == pytest.approx(float(found.max()), abs=TOLERANCE)
            assert float(found[arrays["image_ids"][i]]) == pytest.approx(float(found.max()), abs=TOLERANCE)
    # Layers differ by far more than the tolerance.
    assert abs(made[0].arrays["probs"] - made[1].arrays["probs"]).max() > 100 * TOLERANCE


def test_rank_counts_the_likelier_tokens(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    """Of equal tokens none is likelier: with a head of zeros every token is first."""
    made = compute(tiny_llava, tiny_inputs, LensParameters(top=60), [1])[1].arrays
    for t, answer in enumerate(tiny_inputs.answer_ids.tolist()):
        ids = made["ids"][t].tolist()
        assert made["rank"][t] == (ids.index(answer) if answer in ids else made["rank"][t])
        assert (made["rank"][t] < 60) == (answer in ids)
    head = deepcopy(tiny_llava.lm_head)
    with torch.no_grad():
        head.weight.zero_()
    equal = compute(replace(tiny_llava, lm_head=head), tiny_inputs, layers=[1])[1].arrays
    assert not equal["rank"].any()
    assert equal["prob"] == pytest.approx(1 / head.weight.shape[0], rel=1e-5)


def test_texts_of_exactly_the_tokens_named(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    for image in (True, False):
        result = compute(tiny_llava, tiny_inputs, LensParameters(top=2, image=image), [2])[2]
        assert ("image_ids" in result.arrays) == ("image_probs" in result.arrays) == image
        ids = set(result.arrays["ids"].flat) | set(result.arrays["image_ids"].flat if image else ())
        texts = read_texts(result.text)
        assert texts.keys() == ids
        assert all(texts[i] == tiny_llava.processor.tokenizer.decode([i]) for i in ids)


def test_a_small_vocabulary_is_all_there_is(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    vocabulary = tiny_llava.lm_head.weight.shape[0]
    assert vocabulary < 100
    arrays = compute(tiny_llava, tiny_inputs, LensParameters(top=100), [3])[3].arrays
    assert arrays["ids"].shape == (3, vocabulary)
    # Some dozens of float32 numbers.
    assert arrays["probs"].sum(1) == pytest.approx(1, abs=1e-5)


def test_chunks_make_no_difference_and_are_kept(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compute(tiny_llava, tiny_inputs)
    monkeypatch.setattr(budget, "_chunk_bytes", SimpleNamespace(get=lambda: 1))
    sizes: list[int] = []
    hook = tiny_llava.lm_head.register_forward_hook(lambda _m, _a, output: sizes.append(output.shape[0]))
    try:
        small = compute(tiny_llava, tiny_inputs)
    finally:
        hook.remove()
    assert sizes == [1] * 4 * (3 + 144)
    for layer, result in whole.items():
        for name, array in result.arrays.items():
            np.testing.assert_allclose(small[layer].arrays[name], array, rtol=0, atol=1e-6)


def test_some_layers_alone_give_the_same(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    whole = compute(tiny_llava, tiny_inputs)
    for layer, result in compute(tiny_llava, tiny_inputs, layers=[2, 0]).items():
        for name, array in result.arrays.items():
            np.testing.assert_array_equal(array, whole[layer].arrays[name])
    assert compute(tiny_llava, tiny_inputs, layers=[]) == {}


def test_layers_come_as_they_run_and_the_pass_ends_after_the_last(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    events: list[str] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _m, _a, i=i: events.append(f"enters {i}"))
        for i, layer in enumerate(tiny_llava.layers)
    ]
    try:
        lens.run(
            tiny_llava,
            tiny_inputs,
            LensParameters(),
            [0, 2],
            lambda result: events.append(f"result {result.layer}"),
            lambda layer, fraction: events.append(f"check {layer} {fraction}"),
        )
    finally:
        for hook in hooks:
            hook.remove()
    assert events == ["enters 0", "result 0", "check 0 0.5", "enters 1", "enters 2", "result 2", "check 2 1.0"]


def test_nothing_is_left_behind(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    def stop(layer: int, fraction: float) -> None:
        if layer == 1:
            raise CancelledError("Cancelled.")

    compute(tiny_llava, tiny_inputs)
    assert hooks_left(tiny_llava.model) == 0
    with pytest.raises(CancelledError):
        compute(tiny_llava, tiny_inputs, check=stop)
    assert hooks_left(tiny_llava.model) == 0
    with pytest.raises(UsageError, match="Layers run from 0 to 3"):
        compute(tiny_llava, tiny_inputs, layers=[4])
    with pytest.raises((RuntimeError, IndexError)):
        compute(tiny_llava, replace(tiny_inputs, answer_ids=tiny_inputs.answer_ids + 10_000))
    assert hooks_left(tiny_llava.model) == 0


def test_logits_that_overflow_are_refused(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    head = deepcopy(tiny_llava.lm_head)
    with torch.no_grad():
        head.weight.fill_(3e38)
    with pytest.raises(ModelError, match=r"Layer 0's logits overflow float32"):
        compute(replace(tiny_llava, lm_head=head), tiny_inputs)
