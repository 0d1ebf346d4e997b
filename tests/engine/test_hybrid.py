"""Decoders in which some layers mix tokens without attention: LFM2's short convolutions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPVisionConfig, Lfm2Config, LlavaConfig, LlavaForConditionalGeneration

from flowtui.engine.analyses import run_analysis
from flowtui.engine.demo.model import SPECIAL, build_processor
from flowtui.engine.demo.questions import VOCABULARY
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.models import Loaded, load_model
from flowtui.engine.results import LayerResult, Run
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import AttentionParameters, CamParameters, Parameters, RunSpec, TruncationParameters
from flowtui.engine.structure import find_decoder
from flowtui.errors import UnsupportedModelError
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


def test_truncation_says_why_it_cannot(hybrid: Loaded, inputs: Inputs) -> None:
    with pytest.raises(UnsupportedModelError, match="Layer 0 of the llava decoder has no attention"):
        analyse(hybrid, inputs, TruncationParameters())
