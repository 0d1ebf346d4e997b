"""A random LLaVA large enough for its memory to have a shape: 576 image tokens, 8 layers of width 256."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from flowtui.engine.demo.model import SPECIAL, build_processor
from flowtui.engine.demo.questions import VOCABULARY

SIZE_PX = 192
PATCH_PX = 8


def save_midsize(folder: Path, *, layers: int = 8, kv_heads: int = 8, vocabulary: int = 2000) -> None:
    """Writes model and processor in Hugging Face layout."""
    ids = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIZE_PX,
            patch_size=PATCH_PX,
        ),
        text_config=LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=layers,
            num_attention_heads=8,
            num_key_value_heads=kv_heads,
            max_position_embeddings=1024,
            initializer_range=0.1,
            bos_token_id=ids["<s>"],
            eos_token_id=ids["</s>"],
            pad_token_id=ids["<pad>"],
        ),
        image_token_id=ids["<image>"],
        image_seq_length=(SIZE_PX // PATCH_PX) ** 2,
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = build_processor()
    processor.image_processor.size = processor.image_processor.crop_size = {"height": SIZE_PX, "width": SIZE_PX}
    processor.save_pretrained(folder)
