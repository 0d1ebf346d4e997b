"""Tiny random models of the tile families on Cohere's and Meta's decoders; most need torchvision for their images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers as hf
from transformers.utils import is_torchvision_available

from tests.engine.families.tiles_common import (
    CELLS,
    COHERE,
    COHERE_SPECIAL,
    LLAMA,
    LLAMA4,
    LLAMA_SPECIAL,
    PATCH_PX,
    RANGE,
    TEXT,
    TILE,
    TILE_PX,
    VISION,
    build,
    text_config,
)
from tests.engine.families.tokenizers import build_tokenizer


def _needs_torchvision(what: str) -> None:
    if not is_torchvision_available():
        pytest.skip(f"{what}'s image processor exists for torchvision alone")


def aya_vision(folder: Path) -> None:
    named = ["TILE_GLOBAL", *(f"TILE_{i}" for i in range(1, 10))]
    marks = ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "<image>"]
    tokenizer = build_tokenizer([*COHERE_SPECIAL, *marks, *named], eos="<|END_OF_TURN_TOKEN|>")
    config = hf.AyaVisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_cohere2(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        initializer_range=RANGE,
    )
    processor = hf.AyaVisionProcessor(
        hf.GotOcr2ImageProcessorPil(size=TILE, max_patches=6),
        tokenizer,
        patch_size=PATCH_PX,
        img_size=TILE_PX,
        downsample_factor=2,
        chat_template=COHERE,
    )
    build(hf.AyaVisionForConditionalGeneration, config, processor, folder)


def _cohere2(tokenizer: Any) -> Any:
    """A sliding window narrower than the prompt in every layer but the last."""
    layers = ["sliding_attention"] * (TEXT["num_hidden_layers"] - 1) + ["full_attention"]
    return text_config(hf.Cohere2Config, tokenizer, sliding_window=16, layer_types=layers, logit_scale=0.25)


def cohere2_vision(folder: Path) -> None:
    """Without torchvision its image processor is InternVL's: the same tiles and thumbnail, by another rule."""
    named = {
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "image_token": "<|IMG_PATCH|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }
    tokenizer = build_tokenizer(COHERE_SPECIAL, eos="<|END_OF_TURN_TOKEN|>", named=named)
    config = hf.Cohere2VisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_cohere2(tokenizer),
        image_token_id=tokenizer.image_token_id,
        alignment_intermediate_size=32,
        initializer_range=RANGE,
    )
    settings: dict[str, Any] = {"size": TILE, "max_patches": 6, "crop_to_patches": True, "patch_size": CELLS // 2}
    images = (
        hf.Cohere2VisionImageProcessor(**settings)
        if is_torchvision_available()
        else hf.GotOcr2ImageProcessorPil(**settings)
    )
    processor = hf.Cohere2VisionProcessor(images, tokenizer, chat_template=COHERE.replace("<image>", "<|IMG_PATCH|>"))
    build(hf.Cohere2VisionForConditionalGeneration, config, processor, folder)


def llama4(folder: Path) -> None:
    _needs_torchvision("Llama 4")
    marks = [
        "<|image_start|>",
        "<|image_end|>",
        "<|image|>",
        "<|patch|>",
        "<|tile_x_separator|>",
        "<|tile_y_separator|>",
    ]
    tokenizer = build_tokenizer([*LLAMA4, *marks], eos="<|eot|>")
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in ("patch", "image_start", "image_end")}
    text = text_config(
        hf.Llama4TextConfig,
        tokenizer,
        num_hidden_layers=4,
        intermediate_size_mlp=64,
        num_local_experts=2,
        interleave_moe_layer_step=2,
        attention_chunk_size=32,
    )
    vision = hf.Llama4VisionConfig(
        **{**VISION, "intermediate_size": 64},
        vision_output_dim=24,
        projector_input_dim=24,
        projector_output_dim=24,
    )
    config = hf.Llama4Config(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["patch"],
        boi_token_index=ids["image_start"],
        eoi_token_index=ids["image_end"],
        initializer_range=RANGE,
    )
    processor = hf.Llama4Processor(
        hf.Llama4ImageProcessor(size=TILE, max_patches=6), tokenizer, patch_size=PATCH_PX, pixel_shuffle_ratio=0.5
    )
    build(hf.Llama4ForConditionalGeneration, config, processor, folder)


def perception_lm(folder: Path) -> None:
    """Its tower is one of timm's, which no package here has: a CLIP tower stands in for it."""
    _needs_torchvision("PerceptionLM")
    named = {"image_token": "<|image|>", "video_token": "<|video|>"}
    tokenizer = build_tokenizer(LLAMA_SPECIAL, eos="<|eot_id|>", named=named)
    config = hf.PerceptionLMConfig(
        vision_config=hf.CLIPVisionConfig(**VISION, model_args={"embed_dim": VISION["hidden_size"]}),
        text_config=text_config(hf.LlamaConfig, tokenizer),
        projector_pooling_ratio=2,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        initializer_range=RANGE,
    )
    processor = hf.PerceptionLMProcessor(
        image_processor=hf.PerceptionLMImageProcessor(tile_size=TILE_PX, size=TILE, max_num_tiles=6),
        tokenizer=tokenizer,
        video_processor=hf.PerceptionLMVideoProcessor(size=TILE),
        patch_size=PATCH_PX,
        pooling_ratio=2,
        chat_template=LLAMA,
    )
    build(hf.PerceptionLMForConditionalGeneration, config, processor, folder)
