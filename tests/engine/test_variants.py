"""What checkpoints of one family differ in, each against the oracle in plain transformers: heads, windows, caps, tied
weights, half precision, adapters, 4- and 8-bit weights, weights that come when they are needed; and families that no
table knows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    CLIPVisionConfig,
    Gemma2Config,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PreTrainedConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from flowtui.engine import models
from flowtui.engine.demo.model import SPECIAL, build_processor
from flowtui.engine.demo.questions import VOCABULARY
from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.grids import LAYOUTS
from flowtui.engine.inputs import prepare
from flowtui.engine.models import Loaded, load_model
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import ANALYSES, RunSpec
from flowtui.engine.structure import find_decoder
from flowtui.errors import ModelError
from tests.engine.families.oracle import TOLERANCE, measure, run
from tests.engine.families.plain import Plain
from tests.engine.oracles import hooks_left
from tests.engine.tiny import QUESTION
from tests.factories import png

IDS = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
SPEC = RunSpec(model="tiny", images=(png(),), question=QUESTION, max_new_tokens=3)
TEXT: dict[str, Any] = {
    "vocab_size": len(IDS),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
    "bos_token_id": IDS["<s>"],
    "eos_token_id": IDS["</s>"],
    "pad_token_id": IDS["<pad>"],
    "tie_word_embeddings": False,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 96,
    "patch_size": 8,
}


def build(
    folder: Path,
    text: PreTrainedConfig | None = None,
    vision: PreTrainedConfig | None = None,
    kind: type[LlavaForConditionalGeneration] = LlavaForConditionalGeneration,
    **more: Any,
) -> Path:
    """LLaVA's connector with any decoder and any tower."""
    torch.manual_seed(0)
    config = kind.config_class(
        text_config=text or LlamaConfig(**TEXT),
        vision_config=vision or CLIPVisionConfig(**VISION),
        image_token_id=IDS["<image>"],
        vision_feature_layer=-1,
        initializer_range=0.3,
        **{"tie_word_embeddings": False, **more},
    )
    model = kind(config)
    model.generation_config.eos_token_id = IDS["</s>"]
    model.generation_config.pad_token_id = IDS["<pad>"]
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


def load(folder: Path, dtype: str = "float32") -> Loaded:
    return load_model(str(folder), dtype=dtype, device="cpu")


def assert_equals_oracle(loaded: Loaded, tolerance: float = TOLERANCE) -> None:
    plain = Plain(loaded, prepare(loaded, SPEC))
    for analysis in ANALYSES:
        outcome = measure(plain, analysis)
        assert outcome.error is not None, (analysis, outcome.refused)
        assert outcome.error <= tolerance, (analysis, outcome.error)
    assert hooks_left(loaded.model) == 0


DECODERS: dict[str, Callable[[], PreTrainedConfig]] = {
    "one key head for each query head": lambda: LlamaConfig(**{**TEXT, "num_key_value_heads": 4}),
    "one key head for two query heads": lambda: LlamaConfig(**TEXT),
    "one key head for all query heads": lambda: LlamaConfig(**{**TEXT, "num_key_value_heads": 1}),
    # Of 155 tokens: the answer sees the question and the last rows of the image.
    "a sliding window in every layer": lambda: MistralConfig(**TEXT, sliding_window=48),
    # A cap on the logits belongs to the whole model: paligemma-2 of the families has one, LLaVA's class none.
    "windows in turn, a cap on scores": lambda: Gemma2Config(
        **TEXT, query_pre_attn_scalar=8, sliding_window=48, attn_logit_softcapping=2.0, final_logit_softcapping=None
    ),
    "tied weights": lambda: LlamaConfig(**{**TEXT, "tie_word_embeddings": True}),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name: str, tmp_path: Path) -> None:
    text = DECODERS[name]()
    loaded = load(build(tmp_path, text, tie_word_embeddings=text.tie_word_embeddings))
    tied = loaded.lm_head.weight is loaded.model.get_input_embeddings().weight  # type: ignore[union-attr]
    assert tied == (name == "tied weights")
    assert_equals_oracle(loaded)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(dtype: str, tmp_path: Path) -> None:
    """Against float32: numbers have 8 or 11 bits, and an answer comes through some fifty operations."""
    build(tmp_path)
    whole, half = load(tmp_path), load(tmp_path, dtype)
    assert half.info.dtype == dtype
    answer = prepare(whole, SPEC).prepared.answer
    right = Plain(whole, prepare(whole, SPEC, answer))
    made = Plain(half, prepare(half, SPEC, answer))
    assert made.inputs.model_inputs["pixel_values"].dtype == half.dtype
    # In units of what the array's largest number is rounded by.
    unit = torch.finfo(half.dtype).eps
    for analysis in ANALYSES:
        one, other = (np.stack([look(analysis, result) for result in by_layer(at, analysis)]) for at in (right, made))
        assert other.dtype == np.float32
        assert np.isfinite(other).all()
        assert 0 < np.abs(one - other).max() <= 50 * unit * np.abs(one).max(), analysis


def by_layer(plain: Plain, analysis: str) -> list[LayerResult]:
    return sorted(run(plain, analysis), key=lambda result: result.layer)


def look(analysis: str, result: LayerResult) -> Any:
    """The array that says most. Curves in the order of a map: the random order, for rounding may change a map's."""
    arrays = result.arrays
    names = {"cam": "heat", "saliency": "flow", "truncation": "logprob", "lens": "prob", "knockout": "logprob"}
    return arrays["deletion"][-1] if analysis == "faithfulness" else arrays[names.get(analysis, "share")]


# peft asks transformers for something by the name it had before.
ignore_old_names = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A folder with a LoRA adapter for the model in `tmp_path`."""
    peft = pytest.importorskip("peft", reason="LoRA adapters need the package peft")
    build(tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(tmp_path)
    torch.manual_seed(1)
    made = peft.get_peft_model(
        base, peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    )
    made.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@ignore_old_names
def test_an_adapter_in_the_models_folder(adapter: Path, tmp_path: Path) -> None:
    """As transformers has it: beside the weights lie the adapter's two files."""
    base = load(tmp_path)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, tmp_path)
    loaded = load(tmp_path)
    assert type(loaded.layers[0].self_attn.q_proj).__module__.startswith("peft.")
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.info.fingerprint != base.info.fingerprint
    assert prepare(loaded, SPEC).prepared.answer.ids != prepare(base, SPEC).prepared.answer.ids
    assert_equals_oracle(loaded)


def test_an_adapter_without_peft_is_not_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(models, "is_peft_available", lambda: False)
    with pytest.raises(ModelError, match=r"has an adapter .* peft"):
        load(tmp_path)


@ignore_old_names
def test_a_wrapped_models_decoder_is_found(adapter: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="LoRA adapters need the package peft")
    base = AutoModelForImageTextToText.from_pretrained(tmp_path)
    wrapped = peft.PeftModel.from_pretrained(base, adapter)
    found = find_decoder(wrapped)
    assert found.layers is base.model.language_model.layers
    assert found.final_norm is base.model.language_model.norm


@pytest.mark.parametrize(("bits", "tolerance"), [(4, TOLERANCE), (8, 4 / 127)])
def test_quantised_weights(bits: int, tolerance: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved as such, so that the copy has the same ones; gradients go through them, too.

    With 8-bit weights what goes into a matrix is rounded to 8 bits on the way: a last bit before may be a step after.
    Four such steps are allowed.
    """
    modules = pytest.importorskip("bitsandbytes.nn.modules", reason="4- and 8-bit weights need bitsandbytes")
    pytest.importorskip("accelerate", reason="transformers loads 4- and 8-bit weights with the package accelerate")
    # Some processors have a way of their own to multiply 4-bit weights: in bfloat16, and without gradients.
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: False)
    build(tmp_path / "whole")
    kind = {4: {"load_in_4bit": True, "bnb_4bit_compute_dtype": torch.float32}, 8: {"load_in_8bit": True}}[bits]
    model = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "whole", quantization_config=BitsAndBytesConfig(**kind), dtype=torch.float32
    )
    model.save_pretrained(tmp_path / "small")
    build_processor().save_pretrained(tmp_path / "small")
    loaded = load(tmp_path / "small")
    assert type(loaded.layers[0].self_attn.q_proj).__module__.startswith("bitsandbytes.")
    assert_equals_oracle(loaded, tolerance)


@pytest.mark.parametrize("elsewhere", ["cpu", "disk"])
def test_what_a_device_map_leaves_in_a_model(elsewhere: str, tmp_path: Path) -> None:
    """A forward of its own in every module, which brings inputs and weights to its device.

    There is one device here: each layer has these hooks for it, or its weights stay on the disk until it runs.
    """
    accelerate = pytest.importorskip("accelerate", reason="device maps need the package accelerate")
    loaded = load(build(tmp_path / "model"))
    plain = Plain(loaded, prepare(loaded, SPEC))
    for i, layer in enumerate(loaded.layers):
        if elsewhere == "cpu":
            accelerate.dispatch_model(layer, {"": "cpu"}, force_hooks=True)
        else:
            accelerate.disk_offload(layer, tmp_path / f"layer-{i}", execution_device=torch.device("cpu"))
    assert all("forward" in layer.__dict__ for layer in loaded.layers)
    found = next(loaded.layers[0].parameters()).device
    assert found.type == ("meta" if elsewhere == "disk" else "cpu")
    for analysis in ANALYSES:
        outcome = measure(plain, analysis)
        assert outcome.error is not None
        assert outcome.error <= TOLERANCE, analysis
    assert all("forward" in layer.__dict__ for layer in loaded.layers)


class NextConfig(LlavaConfig):  # type: ignore[misc]
    """Of a family that nobody has heard of."""

    model_type = "next_month"


class NextForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """Decoder-only, with a placeholder for each patch: all that the engine asks for."""

    config_class = NextConfig


@pytest.fixture
def next_month() -> Iterator[None]:
    """The family, known to transformers as long as the test runs."""
    AutoConfig.register("next_month", NextConfig)
    AutoModelForImageTextToText.register(NextConfig, NextForConditionalGeneration)
    yield
    del CONFIG_MAPPING._extra_content["next_month"]
    del MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING._extra_content[NextConfig]


@pytest.mark.usefixtures("next_month")
def test_a_family_that_no_table_knows(tmp_path: Path) -> None:
    assert "next_month" not in KNOWN
    assert "next_month" not in LAYOUTS
    loaded = load(build(tmp_path, kind=NextForConditionalGeneration))
    assert loaded.info.family == "next_month"
    (span,) = prepare(loaded, SPEC).prepared.tokens.spans
    assert (span.rows, span.cols, span.box_px) == (12, 12, (0.0, 0.0, 96.0, 96.0))
    assert_equals_oracle(loaded)


def test_shikras_form_is_llavas(tmp_path: Path) -> None:
    """One matrix between CLIP and the decoder: a first one, no function between, and an identity (docs/models.md)."""
    build(tmp_path, projector_hidden_act="linear", multimodal_projector_bias=True)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    projector = model.model.multi_modal_projector
    with torch.no_grad():
        projector.linear_2.weight.copy_(torch.eye(len(projector.linear_2.weight)))
        projector.linear_2.bias.zero_()
    features = torch.randn(2, 5, VISION["hidden_size"])
    torch.testing.assert_close(projector(features), projector.linear_1(features))
    model.save_pretrained(tmp_path)
    assert_equals_oracle(load(tmp_path))


def test_a_llava_with_internvls_tower(tmp_path: Path) -> None:
    """The form of InternVL-Chat with Vicuna (docs/models.md)."""
    vision = InternVLVisionConfig(
        **{**VISION, "image_size": [96, 96], "patch_size": [8, 8]}, initializer_range=0.3, use_mask_token=False
    )
    loaded = load(build(tmp_path, vision=vision))
    assert type(loaded.model.model.vision_tower).__name__ == "InternVLVisionModel"
    (span,) = prepare(loaded, SPEC).prepared.tokens.spans
    assert (span.rows, span.cols) == (12, 12)
    assert_equals_oracle(loaded)
