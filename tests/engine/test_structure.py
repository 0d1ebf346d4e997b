from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    MistralConfig,
    PhiConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)

from flowtui.engine.structure import find_decoder
from flowtui.errors import UnsupportedModelError
from tests.engine.tiny import build_tiny

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    # As many layers as the decoder: a list of layers alone is not what tells them apart.
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
MROPE = {"rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}}
QWEN = {"depth": 3, "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "patch_size": 8}
QWEN_IDS = {"image_token_id": 99, "vision_start_token_id": 97, "vision_end_token_id": 98}

FAMILIES = {
    "llava": lambda: LlavaForConditionalGeneration(
        LlavaConfig(vision_config=CLIPVisionConfig(**VISION), text_config=PhiConfig(**TEXT), image_token_id=99)
    ),
    "llava_next": lambda: LlavaNextForConditionalGeneration(
        LlavaNextConfig(vision_config=CLIPVisionConfig(**VISION), text_config=MistralConfig(**TEXT), image_token_id=99)
    ),
    "gemma3": lambda: Gemma3ForConditionalGeneration(
        Gemma3Config(
            vision_config=SiglipVisionConfig(**VISION).to_dict(),
            text_config=Gemma3TextConfig(**TEXT, head_dim=8, sliding_window=8).to_dict(),
            image_token_id=99,
            mm_tokens_per_image=4,
        )
    ),
    "internvl": lambda: InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config={**VISION, "image_size": [32, 32], "patch_size": [8, 8]},
            text_config=Qwen2Config(**TEXT).to_dict(),
            image_token_id=99,
        )
    ),
    "qwen2_5_vl": lambda: Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(vision_config=QWEN, text_config={**TEXT, **MROPE}, **QWEN_IDS)
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decoder_of_every_family_is_found(family: str) -> None:
    model: PreTrainedModel = FAMILIES[family]()
    decoder = find_decoder(model)
    assert decoder.module is model.model.language_model
    assert decoder.layers is decoder.module.layers
    assert len(decoder.attentions) == 3
    assert all(a is layer.self_attn for a, layer in zip(decoder.attentions, decoder.layers, strict=True))
    assert decoder.lm_head is model.lm_head
    named = dict(decoder.module.named_children())
    assert decoder.final_norm is named.get("norm", named.get("final_layernorm"))


class _TwoAttentions(nn.Module):
    def __init__(self, layer: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.layer, self.other = layer, other


def test_a_layer_with_two_attentions_is_refused_by_name() -> None:
    model = build_tiny()
    layers = model.model.language_model.layers
    layers[1] = _TwoAttentions(layers[1], layers[2])
    with pytest.raises(UnsupportedModelError, match=r"llava.*layer 1 has 2 attention modules.*LlamaAttention"):
        find_decoder(model)


def test_a_layer_without_attention_is_refused_by_name() -> None:
    model = build_tiny()
    model.model.language_model.layers[0].self_attn = nn.Linear(2, 2)
    with pytest.raises(UnsupportedModelError, match=r"layer 0 has 0 attention modules"):
        find_decoder(model)


def test_a_second_norm_is_refused_by_name() -> None:
    model = build_tiny()
    model.model.language_model.other = nn.LayerNorm(32)
    with pytest.raises(UnsupportedModelError, match=r"2 final norms.*other \(LayerNorm\)"):
        find_decoder(model)


def test_a_missing_layer_is_refused() -> None:
    model = build_tiny()
    del model.model.language_model.layers[0]
    with pytest.raises(UnsupportedModelError, match="0 modules hold the token embedding beside 4 layers"):
        find_decoder(model)


def test_a_missing_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_tiny()
    monkeypatch.setattr(type(model), "get_output_embeddings", lambda _self: None)
    with pytest.raises(UnsupportedModelError, match="no output embedding"):
        find_decoder(model)
    assert torch.is_tensor(model.lm_head.weight)
