"""Builds the demo model: a real `LlavaForConditionalGeneration` with its processor, small enough to ship.

CLIP vision tower on 8-pixel patches (144 image tokens), a two-layer projector and a 12-layer Llama decoder.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .questions import VOCABULARY
from .world import PATCH_PX, SIZE_PX

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>", "<system>", "<user>", "<assistant>")
SYSTEM_PROMPT = "You look at one picture and answer in few words."
LAYERS = 12

CHAT_TEMPLATE = (
    "<s>{% if messages[0]['role'] != 'system' %}<system> " + SYSTEM_PROMPT + " {% endif %}"
    "{% for message in messages %}<{{ message['role'] }}> "
    "{% if message['content'] is string %}{{ message['content'] }} {% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> {% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }} {% endif %}{% endfor %}"
    "{% endif %}{% if message['role'] == 'assistant' %}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the world's vocabulary; unknown words become <unk>."""
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<image>", "<system>", "<user>", "<assistant>"],
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_processor() -> LlavaProcessor:
    """The processor of the demo model: resize to 96x96, rescale, normalise to [-1, 1]."""
    image_processor = CLIPImageProcessorPil(
        size={"height": SIZE_PX, "width": SIZE_PX},
        do_center_crop=False,
        crop_size={"height": SIZE_PX, "width": SIZE_PX},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_convert_rgb=True,
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=build_tokenizer(),
        patch_size=PATCH_PX,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
        num_additional_image_tokens=1,
    )


def build_config(layers: int = LAYERS) -> LlavaConfig:
    """The demo model's configuration with `layers` decoder layers."""
    ids = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=SIZE_PX,
        patch_size=PATCH_PX,
        hidden_act="gelu",
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
        pad_token_id=ids["<pad>"],
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["<image>"],
        image_token_id=ids["<image>"],
        image_seq_length=(SIZE_PX // PATCH_PX) ** 2,
        projector_hidden_act="gelu",
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )


def build_model(layers: int = LAYERS) -> LlavaForConditionalGeneration:
    """A freshly initialised demo model with `layers` decoder layers."""
    config = build_config(layers)
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    model.generation_config.bos_token_id = config.text_config.bos_token_id
    return model


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """Writes model and processor in Hugging Face layout."""
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
