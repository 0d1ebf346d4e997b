"""Builds the tiny random LLaVA that the engine's tests work on."""

from __future__ import annotations

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from flowtui.engine.demo.model import SPECIAL
from flowtui.engine.demo.questions import VOCABULARY

QUESTION = "What color is the circle ?"
ANSWER = "a red circle"


def build_tiny(seed: int = 0) -> LlavaForConditionalGeneration:
    """Four decoder layers, four query heads on two key heads; weights large enough that every layer matters."""
    ids = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    torch.manual_seed(seed)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=96,
            patch_size=8,
        ),
        text_config=LlamaConfig(
            vocab_size=len(ids),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            initializer_range=0.3,
            bos_token_id=ids["<s>"],
            eos_token_id=ids["</s>"],
            pad_token_id=ids["<pad>"],
        ),
        image_token_id=ids["<image>"],
        image_seq_length=144,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
        initializer_range=0.3,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["</s>"]
    model.generation_config.pad_token_id = ids["<pad>"]
    return model
