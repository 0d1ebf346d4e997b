"""Decoders in which some layers mix tokens without attention: LFM2's short convolutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CLIPVisionConfig, Lfm2Config, LlavaConfig, LlavaForConditionalGeneration

from flowtui.engine import attention, truncation
from flowtui.engine.analyses import run_analysis
from flowtui.engine.demo.model import SPECIAL, build_processor
from flowtui.engine.demo.questions import VOCABULARY
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded, load_model
from flowtui.engine.results import LayerResult, Run
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import (
    AttentionParameters,
    CamParameters,
    FaithfulnessParameters,
    Parameters,
    RunSpec,
    TruncationParameters,
)
from flowtui.engine.structure import find_decoder
from flowtui.errors import UnsupportedModelError
from tests.engine.oracles import hooks_left
from tests.engine.test_knockout import assert_equals_slow
from tests.engine.tiny import ANSWER, QUESTION
from tests.factories import png

KINDS = ["conv", "full_attention", "conv", "full_attention"]
SPEC = RunSpec(model="tiny", images=(png(),), question=QUESTION, answer=ANSWER)


def build(kinds: list[str]) -> LlavaForConditionalGeneration:
    ids = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=96, patch_size=8
    )
    text = Lfm2Config(
        vocab_size=len(ids),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=len(kinds),
        num_attention_heads=4,
        num_key_value_heads=2,
        block_auto_adjust_ff_dim=False,
        initializer_range=0.3,
        layer_types=kinds,
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
        pad_token_id=ids["<pad>"],
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=ids["<image>"], vision_feature_layer=-1)
    return LlavaForConditionalGeneration(config)


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder: Path = tmp_path_factory.mktemp("hybrid")
    build(KINDS).save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return load_model(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def inputs(hybrid: Loaded) -> Inputs:
    return prepare(hybrid, SPEC)


def analyse(loaded: Loaded, inputs: Inputs, parameters: Parameters) -> dict[int, LayerResult]:
    found: list[LayerResult] = []
    run_analysis(loaded, inputs, parameters, None, found.append, lambda _l, _f: None, lambda: False)
    return {result.layer: result for result in found}


def test_layers_without_attention_are_known_from_the_configuration(hybrid: Loaded) -> None:
    assert list(hybrid.attending) == [1, 3]
    assert [a is None for a in hybrid.attentions] == [True, False, True, False]
    assert hybrid.info.self_test_error <= 1e-4


def test_a_layer_whose_attention_is_not_found_is_refused_and_not_taken_for_one_without() -> None:
    model = build(["conv", "full_attention"])
    del model.model.language_model.layers[1].self_attn.scaling
    with pytest.raises(UnsupportedModelError, match="layer 1 has 0 attention modules"):
        find_decoder(model)


def test_a_decoder_without_any_attention_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="none of its 2 layers has attention"):
        find_decoder(build(["conv", "conv"]))


def test_attention_of_a_layer_without_has_no_heads(hybrid: Loaded, inputs: Inputs) -> None:
    found = analyse(hybrid, inputs, AttentionParameters(weights=True))
    t, n, length = len(inputs.answer_ids), len(inputs.image_positions), inputs.length
    run = Run.from_prepared(SPEC, inputs.prepared)
    for layer in (0, 2):
        check_layer(run, found[layer])
        assert found[layer].arrays["share"].shape == (t, 0, 4)
        assert found[layer].arrays["weights"].shape == (t, 0, length)
        np.testing.assert_array_equal(found[layer].arrays["image_rows"], np.zeros((t, n)))
    # Against the model's own eager attention, layer by its own number.
    hybrid.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            eager = hybrid.model(**inputs.model_inputs, output_attentions=True).attentions
    finally:
        hybrid.model.set_attn_implementation("sdpa")
    for layer, weights in zip((1, 3), [a for a in eager if a is not None], strict=True):
        check_layer(run, found[layer])
        expected = weights[0, :, inputs.answer_rows].transpose(0, 1).numpy()
        np.testing.assert_allclose(found[layer].arrays["weights"], expected, rtol=0, atol=1e-5)


def test_cam_has_every_layer(hybrid: Loaded, inputs: Inputs) -> None:
    found = analyse(hybrid, inputs, CamParameters(site="input"))
    assert sorted(found) == [0, 1, 2, 3]
    # Also through convolutions the image moves the answer.
    assert all(result.arrays["heat"].max() > 0 for result in found.values())


@torch.no_grad()
def by_hand(loaded: Loaded, inputs: Inputs, ids: Tensor, k: int, gone: Tensor) -> Tensor:
    """Logits [kept vocab] of an LFM2 decoder run layer by layer, tokens really gone from layer k on."""
    hidden = loaded.model.get_input_embeddings()(ids)
    pixels = inputs.model_inputs["pixel_values"]
    features = loaded.model.model.get_image_features(pixels, return_dict=True).pooler_output
    hidden[0, inputs.image_positions] = torch.cat(list(features))
    positions = torch.arange(ids.shape[1])
    for index, layer in enumerate(loaded.layers):
        if index == k:
            keep = ~torch.isin(positions, gone)
            hidden, positions = hidden[:, keep], positions[keep]
        allowed = positions[:, None] >= positions[None, :]
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)[None, None]
        places = loaded.decoder.rotary_emb(hidden, positions[None])
        hidden = layer(hidden, position_embeddings=places, attention_mask=mask if index in loaded.attending else None)
    return loaded.lm_head(loaded.final_norm(hidden))[0]


@pytest.mark.parametrize("strategy", ["all", "random-r", "top-r"])
def test_truncation_leaves_the_tokens_out(hybrid: Loaded, strategy: str) -> None:
    spec = replace(SPEC, answer=None, max_new_tokens=4)
    inputs = prepare(hybrid, spec)
    parameters = TruncationParameters(strategy, r=0 if strategy == "all" else 20)  # type: ignore[arg-type]
    found = analyse(hybrid, inputs, parameters)
    t, image, ids = len(inputs.answer_ids), inputs.image_positions, inputs.model_inputs["input_ids"]
    moved = 0.0
    for k, result in found.items():
        gone = image
        if strategy == "random-r":
            gone = image[torch.randperm(len(image), generator=torch.Generator().manual_seed(0))[20:]]
        if strategy == "top-r":
            layer = 3 if k == 4 else 1
            rows: list[LayerResult] = []
            last = replace(inputs, answer_rows=inputs.answer_rows[:1])
            attention.run(hybrid, last, AttentionParameters(), [layer], rows.append, lambda _l, _f: None)
            gone = image[torch.as_tensor(np.argsort(-rows[0].arrays["image_rows"][0], kind="stable")[20:].copy())]
        logs = by_hand(hybrid, inputs, ids, k, gone)[-t - 1 : -1].log_softmax(-1)
        expected = logs.gather(-1, inputs.answer_ids[:, None])[:, 0].numpy()
        # Same operations in another order, in float32.
        np.testing.assert_allclose(result.arrays["logprob"], expected, atol=1e-4)
        moved = max(moved, float(np.abs(expected - found[4].arrays["logprob"]).max()))
        greedy: list[int] = []
        while len(greedy) < 4:
            so_far = torch.cat([ids[:, : inputs.prompt_length], torch.tensor([greedy], dtype=ids.dtype)], 1)
            logits = by_hand(hybrid, inputs, so_far, k, gone)[-1]
            logits[hybrid.image_token_id] = -torch.inf
            token = int(logits.argmax())
            if token in inputs.stop_ids:
                break
            greedy.append(token)
        assert result.arrays["ids"].tolist() == greedy, k
    assert moved > 0.01
    assert bool(found[4].arrays["same"])
    assert not found[0].arrays["same"]
    assert hooks_left(hybrid.model) == 0


def test_knockout_cuts_attention_where_there_is_some(hybrid: Loaded, inputs: Inputs) -> None:
    assert_equals_slow(hybrid, inputs, 3)


def test_faithfulness_leaves_the_tokens_out(hybrid: Loaded, inputs: Inputs) -> None:
    found = analyse(hybrid, inputs, FaithfulnessParameters(steps=2, orders=1, site="input"))
    rows: list[LayerResult] = []
    attention.run(hybrid, inputs, AttentionParameters(), [1], rows.append, lambda _l, _f: None)
    order = torch.as_tensor(np.argsort(-rows[0].arrays["image_rows"].mean(0), kind="stable").copy())
    image, ids, t = inputs.image_positions, inputs.model_inputs["input_ids"], len(inputs.answer_ids)
    half = len(image) // 2
    for name, gone in (("deletion", image[order[:half]]), ("insertion", image[order[half:]])):
        logs = by_hand(hybrid, inputs, ids, 0, gone)[-t - 1 : -1].log_softmax(-1)
        expected = float(logs.gather(-1, inputs.answer_ids[:, None]).mean().exp())
        assert found[1].arrays[name][1, 1] == pytest.approx(expected, abs=1e-4)


def test_many_questions(hybrid: Loaded, inputs: Inputs) -> None:
    found: list[tuple[int, int]] = []
    truncation.run_many(
        hybrid,
        [inputs, inputs],
        TruncationParameters(),
        [0, 4],
        lambda i, r: found.append((i, r.layer)),
        lambda _l, _f: None,
    )
    assert found == [(0, 0), (0, 4), (1, 0), (1, 4)]
