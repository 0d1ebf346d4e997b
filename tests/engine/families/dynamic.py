"""Tiny random models of the families whose grids follow the image's size, each with its real processor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessorPil,
    Glm4vProcessor,
    Ovis2Config,
    Ovis2ForConditionalGeneration,
    Ovis2ImageProcessorPil,
    Ovis2Processor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
)

from flowtui.engine.processors import images_only

from .tokenizers import build_tokenizer

PATCH_PX = 8
CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant .<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_WORDS = ("You", "are", "a", "helpful", "assistant", ".")
QWEN_SPECIAL = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
OVIS_MARKS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
GLM_SPECIAL = (
    *("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|end_of_image|>"),
    *("<|begin_of_video|>", "<|end_of_video|>", "<|image|>", "<|video|>"),
)
GLM_TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 32,
    "patch_size": PATCH_PX,
}


def ids_of(tokenizer: PreTrainedTokenizerFast, *tokens: str) -> list[int]:
    """Ids of single tokens."""
    found = [int(i) for i in tokenizer.convert_tokens_to_ids(list(tokens))]
    assert tokenizer.unk_token_id not in found, tokens
    return found


def ends(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The ids that a text configuration names."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer), **{name: getattr(tokenizer, name) for name in names}}


def save(model: PreTrainedModel, processor: ProcessorMixin, folder: Path, seed: int = 0) -> None:
    """Writes both, the weights drawn anew: large enough that every layer and the image move the answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                std = 1.5 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    # Not the processor's own way to save itself, which needs a video part where the class has one.
    processor.tokenizer.save_pretrained(folder)
    settings = {name: value for name, value in processor.to_dict().items() if value is not None}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    if processor.chat_template is not None:
        (folder / "chat_template.jinja").write_text(str(processor.chat_template))


def pixels(least: int, most: int) -> dict[str, int]:
    """Limits of a processor of the Qwen line, as it names them, in patches of the merged grid."""
    return {"shortest_edge": least * (2 * PATCH_PX) ** 2, "longest_edge": most * (2 * PATCH_PX) ** 2}


def _qwen(
    folder: Path,
    kind: type[ProcessorMixin],
    make: Callable[[PreTrainedTokenizerFast, dict[str, Any]], PreTrainedModel],
) -> None:
    tokenizer = build_tokenizer(QWEN_SPECIAL, bos=None, eos="<|im_end|>", pad="<|endoftext|>", words=CHATML_WORDS)
    image, video, start, end = ids_of(tokenizer, "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    names = {
        "image_token_id": image,
        "video_token_id": video,
        "vision_start_token_id": start,
        "vision_end_token_id": end,
    }
    template = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    images = Qwen2VLImageProcessorPil(patch_size=PATCH_PX, merge_size=2, size=pixels(4, 64))
    processor = images_only(kind)(images, tokenizer, None, chat_template=template)
    save(make(tokenizer, names), processor, folder)


def _rope(sections: Sequence[int], **more: object) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(sections), **more}


def qwen2_vl(folder: Path) -> None:
    """Two text layers of four under a sliding window, as its configuration allows."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": PATCH_PX}
        text = {**TEXT, **ends(tokenizer), "rope_parameters": _rope((2, 1, 1))}
        return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen2VLProcessor, make)


def qwen2_5_vl(folder: Path) -> None:
    """A vision tower with windows of two by two merged patches and one full layer."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 2, "window_size": 32, "fullatt_block_indexes": [1]}
        text = {**TEXT, **ends(tokenizer), "rope_parameters": _rope((2, 1, 1))}
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen2_5_VLProcessor, make)


def qwen3_vl(folder: Path) -> None:
    """Deepstack: features of the first vision layer are added to the image tokens after the first decoder layer."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 3, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
        text = {**TEXT, **ends(tokenizer), "head_dim": 8, "rope_parameters": _rope((2, 1, 1))}
        return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen3VLProcessor, make)


def glm4v(folder: Path) -> None:
    """Rotary positions over half of each head, as in its checkpoints."""
    tokenizer = build_tokenizer(GLM_SPECIAL, bos=None, eos="<|endoftext|>", pad="<pad>")
    names = ("image_token_id", "video_token_id", "image_start_token_id", "image_end_token_id")
    tokens = ("<|image|>", "<|video|>", "<|begin_of_image|>", "<|end_of_image|>")
    config = Glm4vConfig(
        text_config={**TEXT, **ends(tokenizer), "rope_parameters": _rope((1, 1, 0), partial_rotary_factor=0.5)},
        vision_config={**VISION, "depth": 2, "image_size": 64},
        **dict(zip(names, ids_of(tokenizer, *tokens), strict=True)),
    )
    images = Glm4vImageProcessorPil(patch_size=PATCH_PX, merge_size=2, size=pixels(8, 128))
    processor = images_only(Glm4vProcessor)(images, tokenizer, None, chat_template=GLM_TEMPLATE)
    save(Glm4vForConditionalGeneration(config), processor, folder)


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


FAMILIES: dict[str, Callable[[Path], None]] = {
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "glm4v": glm4v,
    "ovis2": ovis2,
}
"""Model type, or model type and variant, to the function that writes the model into a folder."""
