"""Tiny random models of the families whose grids follow the image's size, each with its real processor."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BaseImageProcessor,
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessorPil,
    Glm4vProcessor,
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
    PaddleOCRVLConfig,
    PaddleOCRVLForConditionalGeneration,
    PaddleOCRVLImageProcessorPil,
    PaddleOCRVLProcessor,
    PixtralImageProcessorPil,
    PixtralProcessor,
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
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3ImageProcessorPil,
    VideoLlama3Processor,
)

from flowtui.engine.demo.questions import VOCABULARY
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
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH_PX,
}
ADAPTER = {"vision_feature_layer": [-1, -2], "hidden_size": 16, "intermediate_size": 32, "text_hidden_size": 32}
PIXTRAL: dict[str, Any] = {**TOWER, "head_dim": 8, "image_size": 128}
MISTRAL_TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}[INST]{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}[/INST]{% else %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}</s>{% endif %}{% endfor %}"
)
PADDLE_TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}User: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}\n{% elif message['role'] == 'assistant' %}Assistant:\n{{ message['content'] }}</s>"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:\n{% endif %}"
)
MOLMO_MARKS = (
    *("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>"),
    "<im_low>",
)


def ids_of(tokenizer: PreTrainedTokenizerFast, *tokens: str) -> list[int]:
    """Ids of single tokens."""
    found = [int(i) for i in tokenizer.convert_tokens_to_ids(list(tokens))]
    assert tokenizer.unk_token_id not in found, tokens
    return found


def ends(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The ids that a text configuration names."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {"vocab_size": len(tokenizer), **{name: getattr(tokenizer, name) for name in names}}


def needs_torchvision() -> None:
    """Skips a test where transformers has no way to prepare a family's images."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"transformers prepares this family's images with torchvision alone, and that fails here: {error}")


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
    images: BaseImageProcessor | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> None:
    if tokenizer is None:
        tokenizer = build_tokenizer(QWEN_SPECIAL, bos=None, eos="<|im_end|>", pad="<|endoftext|>", words=CHATML_WORDS)
    image, video, start, end = ids_of(tokenizer, "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    names = {
        "image_token_id": image,
        "video_token_id": video,
        "vision_start_token_id": start,
        "vision_end_token_id": end,
    }
    template = CHATML.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    images = images or Qwen2VLImageProcessorPil(patch_size=PATCH_PX, merge_size=2, size=pixels(4, 64))
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


def qwen3_5(folder: Path) -> None:
    """Every other layer is a gated linear attention, which has no weights to read."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 2, "num_position_embeddings": 64}
        text = {
            **TEXT,
            **ends(tokenizer),
            **{f"linear_{which}_head_dim": 8 for which in ("key", "value")},
            **{f"linear_num_{which}_heads": 2 for which in ("key", "value")},
            "head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"] * 2,
            "rope_parameters": _rope((2, 1, 1), partial_rotary_factor=1.0),
        }
        return Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen3VLProcessor, make, tokenizer=_byte_tokenizer())


def _byte_tokenizer() -> PreTrainedTokenizerFast:
    """Pairs of bytes, learned on the demo's words: Qwen3.5's tokenizer is of that kind whatever its files say."""
    special = ["<|endoftext|>", "<|im_end|>", *QWEN_SPECIAL]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=640, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([" ".join((*CHATML_WORDS, *VOCABULARY))], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_SPECIAL),
        model_max_length=100_000,
    )


def paddleocr_vl(folder: Path) -> None:
    """Known to no table of the engine: its processor tells the grids as the Qwen line's do."""
    named = {"image_token": "<|IMAGE_PLACEHOLDER|>"}
    special = ("<|IMAGE_START|>", "<|IMAGE_END|>", "<|video_pad|>")
    tokenizer = build_tokenizer(special, pad="<unk>", words=("User", "Assistant", ":"), named=named)
    image, video, start, end = ids_of(tokenizer, named["image_token"], "<|video_pad|>", *special[:2])
    config = PaddleOCRVLConfig(
        text_config={**TEXT, **ends(tokenizer), "head_dim": 8, "rope_parameters": _rope((2, 1, 1))},
        vision_config={**TOWER, "image_size": 64},
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    images = PaddleOCRVLImageProcessorPil(patch_size=PATCH_PX, merge_size=2, size=pixels(4, 64))
    processor = PaddleOCRVLProcessor(images, tokenizer, chat_template=PADDLE_TEMPLATE)
    save(PaddleOCRVLForConditionalGeneration(config), processor, folder)


def video_llama_3(folder: Path) -> None:
    """Likewise; its patches are not merged."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        text = {**TEXT, **ends(tokenizer), "model_type": "qwen2"}
        ids = {name: names[name] for name in ("image_token_id", "video_token_id")}
        return VideoLlama3ForConditionalGeneration(VideoLlama3Config(text_config=text, vision_config=TOWER, **ids))

    images = VideoLlama3ImageProcessorPil(patch_size=PATCH_PX, merge_size=1, size=pixels(4, 64))
    _qwen(folder, VideoLlama3Processor, make, images)


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
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "glm4v": glm4v,
    "ovis2": ovis2,
    "mistral3": mistral3,
    "llava-pixtral": llava_pixtral,
    "lfm2_vl": lfm2_vl,
    "molmo2": molmo2,
    "qwen3_5": qwen3_5,
    "paddleocr_vl": paddleocr_vl,
    "video_llama_3": video_llama_3,
}
"""Model type, or model type and variant, to the function that writes the model into a folder."""
