"""Tiny random models of the families that cut an image into tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers as hf

from flowtui.engine.processors import images_only
from tests.engine.families.tiles_cohere_llama import aya_vision, cohere2_vision, llama4, perception_lm
from tests.engine.families.tiles_common import (
    ARRANGEMENTS,
    CELLS,
    CHATML,
    IDEFICS,
    PATCH_PX,
    PINPOINTS,
    RANGE,
    TEXT,
    TILE,
    TILE_PX,
    VICUNA,
    VISION,
    build,
    text_config,
)
from tests.engine.families.tokenizers import build_tokenizer


def llava_next(folder: Path, tile_px: int = TILE_PX) -> None:
    tokenizer = build_tokenizer(["<image>"], adds_bos=True)
    image = tokenizer.convert_tokens_to_ids("<image>")
    tile, pinpoints = {"height": tile_px, "width": tile_px}, [[h * tile_px, w * tile_px] for h, w in ARRANGEMENTS]
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**{**VISION, "image_size": tile_px}),
        text_config=text_config(hf.MistralConfig, tokenizer, sliding_window=None),
        image_token_index=image,
        image_grid_pinpoints=pinpoints,
        vision_feature_layer=-2,
        initializer_range=RANGE,
    )
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": tile_px}, crop_size=tile, image_grid_pinpoints=pinpoints
    )
    processor = hf.LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )
    build(hf.LlavaNextForConditionalGeneration, config, processor, folder)


def llava_onevision(folder: Path) -> None:
    tokenizer = build_tokenizer(["<image>", "<video>", "<|im_start|>"], bos=None, eos="<|im_end|>")
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=text_config(hf.Qwen2Config, tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_aspect_ratio="anyres_max_4",
        initializer_range=RANGE,
    )
    images = hf.LlavaOnevisionImageProcessorPil(size=TILE, image_grid_pinpoints=PINPOINTS)
    processor = images_only(hf.LlavaOnevisionProcessor)(
        images,
        tokenizer,
        video_processor=None,
        num_image_tokens=CELLS**2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_4",
        chat_template=CHATML,
    )
    build(hf.LlavaOnevisionForConditionalGeneration, config, processor, folder)


def internvl(folder: Path, tile_px: int = TILE_PX) -> None:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = build_tokenizer(["<|im_start|>"], bos=None, eos="<|im_end|>", named=named)
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**{**VISION, "image_size": tile_px}, use_mask_token=False),
        text_config=text_config(hf.Qwen2Config, tokenizer),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=CELLS**2 // 4,
        initializer_range=RANGE,
    )
    processor = images_only(hf.InternVLProcessor)(
        hf.GotOcr2ImageProcessorPil(size={"height": tile_px, "width": tile_px}, max_patches=6),
        tokenizer,
        video_processor=None,
        image_seq_length=CELLS**2 // 4,
        chat_template=CHATML.replace("<image>", "<IMG_CONTEXT>"),
    )
    build(hf.InternVLForConditionalGeneration, config, processor, folder)


def idefics2(folder: Path) -> None:
    tokenizer = build_tokenizer(
        ["<fake_token_around_image>", "<image>", "<end_of_utterance>"], eos="<end_of_utterance>", adds_bos=True
    )
    perceiver = {
        "resampler_n_latents": 6,
        "resampler_depth": 1,
        "resampler_n_heads": 2,
        "num_key_value_heads": 1,
        "resampler_head_dim": 8,
        "hidden_size": TEXT["hidden_size"],
    }
    config = hf.Idefics2Config(
        vision_config={**VISION, "image_size": 2 * TILE_PX},
        perceiver_config=perceiver,
        text_config=text_config(hf.MistralConfig, tokenizer, sliding_window=None),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        initializer_range=RANGE,
    )
    images = hf.Idefics2ImageProcessorPil(
        size={"shortest_edge": TILE_PX, "longest_edge": 2 * TILE_PX}, do_image_splitting=True
    )
    processor = hf.Idefics2Processor(images, tokenizer, image_seq_len=6, chat_template=IDEFICS)
    build(hf.Idefics2ForConditionalGeneration, config, processor, folder)


def _idefics3_tokenizer(**named: str) -> Any:
    names = [f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5)]
    special = ["<fake_token_around_image>", "<image>", "<global-img>", *names]
    return build_tokenizer(special, eos="<end_of_utterance>", named=named)


IDEFICS3_IMAGES: dict[str, Any] = {"size": {"longest_edge": 3 * TILE_PX}, "max_image_size": {"longest_edge": TILE_PX}}


def idefics3(folder: Path) -> None:
    tokenizer = _idefics3_tokenizer()
    config = hf.Idefics3Config(
        vision_config=VISION,
        text_config=text_config(hf.LlamaConfig, tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=RANGE,
    )
    processor = hf.Idefics3Processor(
        hf.Idefics3ImageProcessorPil(**IDEFICS3_IMAGES),
        tokenizer,
        image_seq_len=CELLS**2 // 4,
        chat_template=IDEFICS,
    )
    build(hf.Idefics3ForConditionalGeneration, config, processor, folder)


def smolvlm(folder: Path) -> None:
    tokenizer = _idefics3_tokenizer(image_token="<image>", global_image_token="<global-img>", video_token="<video>")
    config = hf.SmolVLMConfig(
        vision_config=VISION,
        text_config=text_config(hf.LlamaConfig, tokenizer),
        image_token_id=tokenizer.image_token_id,
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=RANGE,
    )
    processor = images_only(hf.SmolVLMProcessor)(
        hf.SmolVLMImageProcessorPil(**IDEFICS3_IMAGES),
        tokenizer,
        None,
        image_seq_len=CELLS**2 // 4,
        chat_template=IDEFICS,
    )
    build(hf.SmolVLMForConditionalGeneration, config, processor, folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "internvl": internvl,
    "idefics2": idefics2,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "aya_vision": aya_vision,
    "cohere2_vision": cohere2_vision,
    "llama4": llama4,
    "perception_lm": perception_lm,
}
