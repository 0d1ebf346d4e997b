"""Models of the shapes that people use, with random weights: LLaVA-1.5-7B and Qwen2.5-VL-7B, or tiny."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
)

from benchmarks.scene import PATCH_PX, SPECIAL, TEMPLATE, build_tokenizer
from flowtui.engine.processors import images_only

QWEN_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message['role'] }} "
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}<|im_end|> {% endfor %}"
    "<|im_start|> assistant"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model to build, and the prompts that it is measured with.

    Attributes:
        name: Name of the model that has this shape.
        build: Device, dtype -> model.
        processor: Its processor.
        prompts: Name of a prompt -> (number of images, side of each in pixels).
    """

    name: str
    build: Callable[[], PreTrainedModel]
    processor: Callable[[], ProcessorMixin]
    prompts: dict[str, tuple[int, int]]

    def save(self, folder: Path, dtype: torch.dtype, device: str) -> None:
        """Makes the weights on the device, where that is fast, and writes model and processor."""
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with torch.device(device):
                model = self.build()
        finally:
            torch.set_default_dtype(before)
        model.save_pretrained(folder)
        processor = self.processor()
        # Not the processor's own way to save itself, which needs a video part where the class has one.
        processor.tokenizer.save_pretrained(folder)
        settings = {name: value for name, value in processor.to_dict().items() if value is not None}
        (folder / "processor_config.json").write_text(json.dumps(settings))
        (folder / "chat_template.jinja").write_text(processor.chat_template)
        del model
        gc.collect()
        if device.startswith("cuda"):
            torch.cuda.empty_cache()


def llava(*, tiny: bool) -> Shape:
    """LLaVA-1.5-7B: CLIP ViT-L/14 at 336 pixels, Llama 7B; 576 tokens an image, seven images for 4,096 tokens."""
    grid = 4 if tiny else 24
    tower = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    text = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
    if tiny:
        tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
        text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4}
    vocabulary = 32064
    pad, bos, eos, _, image = range(5)

    def build() -> PreTrainedModel:
        ends = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
        config = LlavaConfig(
            vision_config=CLIPVisionConfig(**tower, image_size=PATCH_PX * grid, patch_size=PATCH_PX),
            text_config=LlamaConfig(**text, vocab_size=vocabulary, max_position_embeddings=8192, **ends),
            image_token_id=image,
            image_seq_length=grid**2,
        )
        return LlavaForConditionalGeneration(config)

    def processor() -> ProcessorMixin:
        side = PATCH_PX * grid
        return LlavaProcessor(
            image_processor=CLIPImageProcessorPil(
                size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_convert_rgb=True
            ),
            tokenizer=build_tokenizer(SPECIAL, vocabulary),
            patch_size=PATCH_PX,
            vision_feature_select_strategy="default",
            chat_template=TEMPLATE,
            image_token="<image>",
            num_additional_image_tokens=1,
        )

    return Shape("LLaVA-1.5-7B", build, processor, {"one image": (1, 336), "seven images": (7, 336)})


def qwen(*, tiny: bool) -> Shape:
    """Qwen2.5-VL-7B: grouped keys, a dynamic grid; 576 tokens for 672 pixels, 3,969 for 1,764."""
    tower = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }
    text = {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    }
    section = [16, 24, 24]
    if tiny:
        tower = {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        }
        text = {
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        }
        section = [2, 3, 3]
    vocabulary = 152064
    pad, bos, eos, _, vision_start, vision_end, image, video = range(8)

    def build() -> PreTrainedModel:
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section}
        config = Qwen2_5_VLConfig(
            vision_config=tower,
            text_config={
                **text,
                "vocab_size": vocabulary,
                "max_position_embeddings": 32768,
                "rope_parameters": rope,
                "bos_token_id": bos,
                "eos_token_id": eos,
                "pad_token_id": pad,
            },
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=vision_start,
            vision_end_token_id=vision_end,
        )
        return Qwen2_5_VLForConditionalGeneration(config)

    def processor() -> ProcessorMixin:
        images = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2)
        tokenizer = build_tokenizer(QWEN_SPECIAL, vocabulary, ("system", "user", "assistant"))
        return images_only(Qwen2_5_VLProcessor)(images, tokenizer, None, chat_template=QWEN_TEMPLATE)

    sides = {"one image": (1, 112), "one large image": (1, 224)} if tiny else {}
    return Shape("Qwen2.5-VL-7B", build, processor, sides or {"one image": (1, 672), "one large image": (1, 1764)})


SHAPES = (llava, qwen)
