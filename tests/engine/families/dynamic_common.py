"""Small parts that the tiny models with grids of the image's size share."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)

PATCH_PX = 8
CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant .<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_WORDS = ("You", "are", "a", "helpful", "assistant", ".")
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
TOWER: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH_PX,
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


def needs_torchvision() -> None:
    """Skips a test where transformers has no way to prepare a family's images."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"transformers prepares this family's images with torchvision alone, and that fails here: {error}")


def save(model: PreTrainedModel, processor: ProcessorMixin, folder: Path, seed: int = 0, gain: float = 1.5) -> None:
    """Writes both, the weights drawn anew: large enough that every layer and the image move the answer.

    Args:
        model: The model.
        processor: Its processor.
        folder: Where to.
        seed: Of the weights.
        gain: How much larger than what keeps the length of a vector.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                std = gain / parameter[0].numel() ** 0.5
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


def rope(sections: Sequence[int], **more: object) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": list(sections), **more}
