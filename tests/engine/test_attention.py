from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from flowtui.engine import attention, rows
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import GROUPS, LayerResult, Run
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import AttentionParameters, RunSpec
from flowtui.errors import CancelledError
from tests.engine.tiny import QUESTION
from tests.factories import png

# float32 on both sides, sums of a few hundred terms through at most 12 layers.
TOLERANCE = 1e-5


class Case:
    """A model, its inputs, and every number computed another way: eager attention and hooks on a second copy."""

    def __init__(self, loaded: Loaded, inputs: Inputs) -> None:
        self.loaded, self.inputs = loaded, inputs
        model = LlavaForConditionalGeneration.from_pretrained(
            loaded.info.directory, attn_implementation="eager", dtype=torch.float32
        ).eval()
        self.values: list[Tensor] = []
        for layer in model.model.language_model.layers:
            layer.self_attn.v_proj.register_forward_hook(lambda _m, _i, output: self.values.append(output[0]))
        with torch.no_grad():
            self.weights = model(**inputs.model_inputs, output_attentions=True, use_cache=False).attentions

    def expected(self, layer: int, *, own: bool = False) -> dict[str, np.ndarray]:
        tokens, info = self.inputs.prepared.tokens, self.loaded.info
        t = len(self.inputs.prepared.answer.ids)
        share = np.zeros((t, info.heads, 4))
        valued = np.zeros((t, info.heads, 4))
        image_rows = np.zeros((t, len(tokens.image_positions)))
        whole = np.zeros((t, info.heads, len(tokens.ids)))
        value = self.values[layer].reshape(len(tokens.ids), info.kv_heads, -1).double().numpy()
        for i in range(t):
            row = tokens.answer_start + i - (not own)
            for head in range(info.heads):
                weights = self.weights[layer][0, head, row].double().numpy()
                whole[i, head] = weights
                length = np.sqrt((value[:, head // (info.heads // info.kv_heads)] ** 2).sum(-1))
                for group in range(4):
                    share[i, head, group] = weights[tokens.group == group].sum()
                    valued[i, head, group] = (weights * length)[tokens.group == group].sum()
            image_rows[i] = whole[i].mean(0)[tokens.image_positions]
        return {
            "share": share,
            "value_share": valued / valued.sum(-1, keepdims=True),
            "sink": whole[..., 0],
            "image_rows": image_rows,
            "text_rows": whole.mean(1)[:, tokens.group != GROUPS.index("image")],
            "head_rows": whole.mean(0)[:, tokens.image_positions],
            "entropy": -(whole * np.log(np.maximum(whole, 1e-300))).sum(-1),
            "weights": whole,
        }

    def run(self, parameters: AttentionParameters, layers: list[int]) -> dict[int, LayerResult]:
        found: list[LayerResult] = []
        attention.run(self.loaded, self.inputs, parameters, layers, found.append, lambda _layer, _fraction: None)
        return {result.layer: result for result in found}


@pytest.fixture(scope="module", params=["tiny", "demo"])
def case(request: pytest.FixtureRequest) -> Case:
    loaded: Loaded = request.getfixturevalue("tiny_llava" if request.param == "tiny" else "demo_random")
    spec = RunSpec(model="m", images=(png(),), question=QUESTION, answer="a red circle and a blue square")
    return Case(loaded, prepare(loaded, spec))


@pytest.mark.parametrize("which", ["predict", "own"])
def test_every_number_of_every_layer_matches_eager(case: Case, which: str) -> None:
    layers = list(range(case.loaded.info.layers))
    found = case.run(AttentionParameters(rows=which, weights=True), layers)  # type: ignore[arg-type]
    assert sorted(found) == layers
    for layer in layers:
        expected = case.expected(layer, own=which == "own")
        assert set(found[layer].arrays) == set(expected)
        for name, array in expected.items():
            got = found[layer].arrays[name]
            assert got.dtype == np.float32, name
            np.testing.assert_allclose(got, array, rtol=0, atol=TOLERANCE, err_msg=f"layer {layer} {name}")


def test_shares_sum_to_one(case: Case) -> None:
    found = case.run(AttentionParameters(), list(range(case.loaded.info.layers)))
    for result in found.values():
        # A sum of a few hundred float32 numbers.
        np.testing.assert_allclose(result.arrays["share"].sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(result.arrays["value_share"].sum(-1), 1, atol=1e-5)


def test_values_matter(case: Case) -> None:
    """The two shares are not the same numbers, so the comparison above can tell them apart."""
    arrays = case.run(AttentionParameters(), [1])[1].arrays
    assert np.abs(arrays["share"] - arrays["value_share"]).max() > 1e-3


def test_a_result_is_what_a_run_expects(case: Case) -> None:
    found = case.run(AttentionParameters(), [0, 2])
    prepared = case.inputs.prepared
    run = Run.from_prepared(RunSpec(model="m", images=(png(),), question="?"), prepared)
    for result in found.values():
        check_layer(run, result)
        assert "weights" not in result.arrays
        assert LayerResult.from_bytes(result.to_bytes()).arrays["share"].shape == result.arrays["share"].shape
    group = prepared.tokens.group
    assert [int((group == g).sum()) for g in range(len(GROUPS))][1] == found[0].arrays["image_rows"].shape[1]


def test_some_layers_in_any_order(case: Case) -> None:
    every = case.run(AttentionParameters(), list(range(case.loaded.info.layers)))
    some = case.run(AttentionParameters(), [3, 1, 3])
    assert list(some) == [1, 3]
    for layer, result in some.items():
        np.testing.assert_array_equal(result.arrays["share"], every[layer].arrays["share"])
    assert case.run(AttentionParameters(), []) == {}


def test_layers_come_as_they_run_and_the_pass_ends_after_the_last(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    events: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _a, _o, i=i: events.append(f"ran {i}"))
        for i, layer in enumerate(tiny_llava.layers)
    ]
    try:
        attention.run(
            tiny_llava,
            tiny_inputs,
            AttentionParameters(),
            [0, 2],
            lambda result: events.append(f"result {result.layer}"),
            lambda layer, fraction: events.append(f"check {layer} {fraction}"),
        )
    finally:
        for hook in hooks:
            hook.remove()
    assert events == ["result 0", "check 0 0.5", "ran 0", "ran 1", "result 2", "check 2 1.0"]


def test_chunks_make_no_difference(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = case.run(AttentionParameters(weights=True), [2])[2]
    monkeypatch.setattr(rows, "rows_per_chunk", lambda _bytes: 2)
    small = case.run(AttentionParameters(weights=True), [2])[2]
    for name, array in whole.arrays.items():
        assert small.arrays[name].shape == array.shape
        np.testing.assert_allclose(small.arrays[name], array, rtol=0, atol=1e-6)


def test_cancelling_between_layers_leaves_the_model_alone(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    found: list[int] = []

    def check(layer: int, _fraction: float) -> None:
        if layer == 1:
            raise CancelledError("Cancelled.")

    with pytest.raises(CancelledError):
        attention.run(tiny_llava, tiny_inputs, AttentionParameters(), range(4), lambda r: found.append(r.layer), check)
    assert found == [0, 1]
    assert tiny_llava.decoder.config._attn_implementation == "sdpa"
    assert not rows._watched


def test_values_that_are_all_zero_give_no_shares_and_no_nan(tiny_directory, tiny_inputs: Inputs) -> None:
    from flowtui.engine.models import load_model

    loaded = load_model(str(tiny_directory), dtype="float32", device="cpu")
    torch.nn.init.zeros_(loaded.attentions[1].v_proj.weight)
    found: list[LayerResult] = []
    attention.run(loaded, tiny_inputs, AttentionParameters(), [1], found.append, lambda _l, _f: None)
    assert found[0].arrays["value_share"].max() == 0
    np.testing.assert_allclose(found[0].arrays["share"].sum(-1), 1, atol=1e-5)


def test_two_images_count_together(tiny_llava: Loaded) -> None:
    spec = RunSpec(model="m", images=(png(), png(seed=4)), question=QUESTION, answer="red")
    case = Case(tiny_llava, prepare(tiny_llava, spec))
    found = case.run(AttentionParameters(), [2])[2].arrays
    assert found["image_rows"].shape == (1, 288)
    np.testing.assert_allclose(found["image_rows"], case.expected(2)["image_rows"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found["image_rows"].sum(-1), found["share"][..., 1].mean(-1), rtol=0, atol=TOLERANCE)


def test_the_grouping_moves_shares_between_groups_only(tiny_llava: Loaded) -> None:
    spec = RunSpec(model="m", images=(png(),), question=QUESTION, answer="red")
    paper = Case(tiny_llava, prepare(tiny_llava, spec)).run(AttentionParameters(), [1])[1].arrays["share"]
    roles = Case(tiny_llava, prepare(tiny_llava, replace(spec, grouping="roles")))
    share = roles.run(AttentionParameters(), [1])[1].arrays["share"]
    np.testing.assert_allclose(share[..., [1, 3]], paper[..., [1, 3]], rtol=0, atol=1e-6)
    np.testing.assert_allclose(share[..., 0] + share[..., 2], paper[..., 0] + paper[..., 2], rtol=0, atol=1e-6)
    assert (share[..., 0] < paper[..., 0]).all()
