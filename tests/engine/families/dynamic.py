"""Tiny random models of the families whose grids follow the image's size, each with its real processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    Lfm2VlConfig,
    Lfm2VlForConditionalGeneration,
    Lfm2VlImageProcessor,
    Lfm2VlProcessor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Molmo2Config,
    Molmo2ForConditionalGeneration,
    Molmo2ImageProcessor,
    Molmo2Processor,
    Ovis2Config,
    Ovis2ForConditionalGeneration,
    Ovis2ImageProcessorPil,
    Ovis2Processor,
    PixtralImageProcessorPil,
    PixtralProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from flowtui.engine.processors import images_only
from tests.engine.families.dynamic_common import (
    CHATML,
    CHATML_WORDS,
    PATCH_PX,
    TEXT,
    TOWER,
    VISION,
    ends,
    ids_of,
    needs_torchvision,
    save,
)
from tests.engine.families.qwen_line import FAMILIES as QWEN_LINE
from tests.engine.families.tokenizers import build_tokenizer

OVIS_MARKS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
ADAPTER = {"vision_feature_layer": [-1, -2], "hidden_size": 16, "intermediate_size": 32, "text_hidden_size": 32}
PIXTRAL: dict[str, Any] = {**TOWER, "head_dim": 8, "image_size": 128}
MISTRAL_TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}[INST]{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}[/INST]{% else %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}</s>{% endif %}{% endfor %}"
)
MOLMO_MARKS = (
    *("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>"),
    "<im_low>",
)


def ovis2(folder: Path) -> None:
    """Views of 52 pixels: six patches a side, merged by two, and a margin of four that no patch sees."""
    special = ("<|im_start|>", "<image>", "<IMG_ATOM>", *OVIS_MARKS)
    tokenizer = build_tokenizer(special, bos=None, eos="<|im_end|>", pad="<|endoftext|>", words=CHATML_WORDS)
    text = {**TEXT, **ends(tokenizer), "model_type": "qwen2"}
    vision = {
        **{name: VISION[name] for name in ("hidden_size", "intermediate_size", "patch_size")},
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 52,
        "hidden_stride": 2,
        "vocab_size": 64,
    }
    config = Ovis2Config(
        text_config=text,
        vision_config=vision,
        image_token_id=ids_of(tokenizer, "<IMG_ATOM>")[0],
        visual_indicator_token_ids=ids_of(tokenizer, *OVIS_MARKS),
        vocab_size=len(tokenizer),
        hidden_size=TEXT["hidden_size"],
    )
    images = Ovis2ImageProcessorPil(size={"height": 52, "width": 52}, crop_to_patches=True, max_patches=6)
    template = CHATML.replace("IMAGE", "<image>\n")
    processor = Ovis2Processor(images, tokenizer, chat_template=template, image_seq_length=9)
    save(Ovis2ForConditionalGeneration(config), processor, folder)


def _pixtral(folder: Path, merge: int, make: Callable[[PreTrainedTokenizerFast, int], PreTrainedModel]) -> None:
    needs_torchvision()
    tokenizer = build_tokenizer(("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"))
    images = PixtralImageProcessorPil(
        size={"longest_edge": 96}, patch_size={"height": merge * PATCH_PX, "width": merge * PATCH_PX}
    )
    processor = PixtralProcessor(
        images, tokenizer, patch_size=PATCH_PX, spatial_merge_size=merge, chat_template=MISTRAL_TEMPLATE
    )
    save(make(tokenizer, ids_of(tokenizer, "[IMG]")[0]), processor, folder)


def mistral3(folder: Path) -> None:
    """Pixtral's tower, its patches merged by two."""

    def make(tokenizer: PreTrainedTokenizerFast, image: int) -> PreTrainedModel:
        vision = {**PIXTRAL, "model_type": "pixtral"}
        text = {**TEXT, **ends(tokenizer), "model_type": "mistral", "head_dim": 8}
        return Mistral3ForConditionalGeneration(
            Mistral3Config(text_config=text, vision_config=vision, image_token_index=image, spatial_merge_size=2)
        )

    _pixtral(folder, 2, make)


def llava_pixtral(folder: Path) -> None:
    """Pixtral-12B's checkpoints: LLaVA's connector with Pixtral's tower."""

    def make(tokenizer: PreTrainedTokenizerFast, image: int) -> PreTrainedModel:
        config = LlavaConfig(
            text_config={**TEXT, **ends(tokenizer), "model_type": "mistral", "head_dim": 8},
            vision_config={**PIXTRAL, "model_type": "pixtral"},
            image_token_id=image,
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        )
        return LlavaForConditionalGeneration(config)

    _pixtral(folder, 1, make)


def lfm2_vl(folder: Path) -> None:
    """Two layers of attention between short convolutions."""
    needs_torchvision()
    places = [f"<|img_row_{r}_col_{c}|>" for r in range(1, 7) for c in range(1, 7)]
    special = ("<|im_start|>", "<image>", "<|image_start|>", "<|image_end|>", "<|img_thumbnail|>", *places)
    tokenizer = build_tokenizer(special, bos="<|startoftext|>", eos="<|im_end|>", pad="<|pad|>", words=CHATML_WORDS)
    kinds = ["conv", "full_attention", "conv", "full_attention"]
    text = {**TEXT, **ends(tokenizer), "layer_types": kinds, "block_auto_adjust_ff_dim": False, "model_type": "lfm2"}
    vision = {**TOWER, "model_type": "siglip2_vision_model", "num_patches": 64, "vision_use_head": False}
    config = Lfm2VlConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids_of(tokenizer, "<image>")[0],
        projector_hidden_size=32,
    )
    images = Lfm2VlImageProcessor(
        encoder_patch_size=PATCH_PX, tile_size=64, min_image_tokens=4, max_image_tokens=16, min_tiles=2, max_tiles=6
    )
    template = "<|startoftext|>" + CHATML.replace("IMAGE", "<image>")
    save(Lfm2VlForConditionalGeneration(config), Lfm2VlProcessor(images, tokenizer, chat_template=template), folder)


def molmo2(folder: Path) -> None:
    """Crops of five patches a side, pooled by two: outer cells reach beyond the image."""
    needs_torchvision()
    special = ("<|im_start|>", "<|image|>", "<|video|>", *MOLMO_MARKS)
    tokenizer = build_tokenizer(special, bos="<|im_end|>", eos="<|im_end|>", pad="<|pad|>", words=CHATML_WORDS)
    ids = dict(zip(MOLMO_MARKS, ids_of(tokenizer, *MOLMO_MARKS), strict=True))
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    config = Molmo2Config(
        text_config={**TEXT, **ends(tokenizer), "head_dim": 8, "additional_vocab_size": 8},
        vision_config={**TOWER, **heads, "image_size": [40, 40], "num_position_embeddings": 25},
        adapter_config={**ADAPTER, **heads},
        image_patch_id=ids["<im_patch>"],
        image_start_token_id=ids["<im_start>"],
        image_end_token_id=ids["<im_end>"],
        low_res_image_start_token_id=ids["<low_res_im_start>"],
        frame_start_token_id=ids["<frame_start>"],
        frame_end_token_id=ids["<frame_end>"],
    )
    images = Molmo2ImageProcessor(
        size={"height": 40, "width": 40}, patch_size=PATCH_PX, max_crops=6, overlap_margins=[1, 1], pooling_size=[2, 2]
    )
    template = CHATML.replace("IMAGE", "<|image|>")
    processor = images_only(Molmo2Processor)(
        image_processor=images, video_processor=None, tokenizer=tokenizer, chat_template=template
    )
    save(Molmo2ForConditionalGeneration(config), processor, folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    **QWEN_LINE,
    "ovis2": ovis2,
    "mistral3": mistral3,
    "llava-pixtral": llava_pixtral,
    "lfm2_vl": lfm2_vl,
    "molmo2": molmo2,
}
"""Model type, or model type and variant, to the function that writes the model into a folder."""
