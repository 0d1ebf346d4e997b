"""Tiny random models of the Qwen-VL line and its likes, each with its real processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BaseImageProcessor,
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessorPil,
    Glm4vProcessor,
    PaddleOCRVLConfig,
    PaddleOCRVLForConditionalGeneration,
    PaddleOCRVLImageProcessorPil,
    PaddleOCRVLProcessor,
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
from tests.engine.families.dynamic_common import (
    CHATML,
    CHATML_WORDS,
    PATCH_PX,
    TEXT,
    TOWER,
    VISION,
    ends,
    ids_of,
    pixels,
    rope,
    save,
)
from tests.engine.families.tokenizers import build_tokenizer

QWEN_SPECIAL = ("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
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
PADDLE_TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}User: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}\n{% elif message['role'] == 'assistant' %}Assistant:\n{{ message['content'] }}</s>"
    "{% else %}{{ message['content'] }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:\n{% endif %}"
)


def _qwen(
    folder: Path,
    kind: type[ProcessorMixin],
    make: Callable[[PreTrainedTokenizerFast, dict[str, Any]], PreTrainedModel],
    images: BaseImageProcessor | None = None,
    tokenizer: PreTrainedTokenizerFast | None = None,
    gain: float = 1.5,
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
    save(make(tokenizer, names), processor, folder, gain=gain)


def qwen2_vl(folder: Path) -> None:
    """Two decoder layers of four under a sliding window, as its configuration allows."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": PATCH_PX}
        window = {"use_sliding_window": True, "sliding_window": 20, "max_window_layers": 2}
        text = {**TEXT, **ends(tokenizer), **window, "rope_parameters": rope((2, 1, 1))}
        return Qwen2VLForConditionalGeneration(Qwen2VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen2VLProcessor, make)


def qwen2_5_vl(folder: Path) -> None:
    """A vision tower with windows of two by two merged patches and one full layer."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 2, "window_size": 32, "fullatt_block_indexes": [1]}
        text = {**TEXT, **ends(tokenizer), "rope_parameters": rope((2, 1, 1))}
        return Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen2_5_VLProcessor, make)


def qwen3_vl(folder: Path) -> None:
    """Deepstack: features of two vision layers are added to the image tokens after the first two decoder layers."""

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 3, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
        text = {**TEXT, **ends(tokenizer), "head_dim": 8, "rope_parameters": rope((2, 1, 1))}
        return Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen3VLProcessor, make)


def qwen3_5(folder: Path) -> None:
    """Every other layer is a gated linear attention, which has no weights to read.

    Narrow heads and large weights would make rounding, which its norms enlarge, as large as the tolerances.
    """

    def make(tokenizer: PreTrainedTokenizerFast, names: dict[str, Any]) -> PreTrainedModel:
        vision = {**VISION, "depth": 2, "num_position_embeddings": 64}
        text = {
            **TEXT,
            **ends(tokenizer),
            **{f"linear_{which}_head_dim": 16 for which in ("key", "value")},
            **{f"linear_num_{which}_heads": 2 for which in ("key", "value")},
            "head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"] * 2,
            "rope_parameters": rope((2, 1, 1), partial_rotary_factor=1.0),
        }
        return Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=text, vision_config=vision, **names))

    _qwen(folder, Qwen3VLProcessor, make, tokenizer=_byte_tokenizer(), gain=0.7)


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
        text_config={**TEXT, **ends(tokenizer), "head_dim": 8, "rope_parameters": rope((2, 1, 1))},
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
        text_config={**TEXT, **ends(tokenizer), "rope_parameters": rope((1, 1, 0), partial_rotary_factor=0.5)},
        vision_config={**VISION, "depth": 2, "image_size": 64},
        **dict(zip(names, ids_of(tokenizer, *tokens), strict=True)),
    )
    images = Glm4vImageProcessorPil(patch_size=PATCH_PX, merge_size=2, size=pixels(8, 128))
    processor = images_only(Glm4vProcessor)(images, tokenizer, None, chat_template=GLM_TEMPLATE)
    save(Glm4vForConditionalGeneration(config), processor, folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "qwen3_5": qwen3_5,
    "glm4v": glm4v,
    "paddleocr_vl": paddleocr_vl,
    "video_llama_3": video_llama_3,
}
"""Model type to the function that writes the model into a folder."""
