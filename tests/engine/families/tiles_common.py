"""What the tiny models of the tile families share: sizes, chat templates, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

TILE_PX = 32
PATCH_PX = 8
CELLS = TILE_PX // PATCH_PX
"""Of a tile's side, before any merging."""

RANGE = 0.2
"""Standard deviation of the weights: at the usual 0.02 attention is so even that a wrong row looks like a right one."""

TILE = {"height": TILE_PX, "width": TILE_PX}
ARRANGEMENTS = [(rows, cols) for rows in (1, 2, 3) for cols in (1, 2, 3)]
PINPOINTS = [[rows * TILE_PX, cols * TILE_PX] for rows, cols in ARRANGEMENTS]
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": TILE_PX,
    "patch_size": PATCH_PX,
    "initializer_range": RANGE,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 4096,
    "initializer_range": RANGE,
}

_PARTS = (
    "{%% for part in message['content'] %%}{%% if part['type'] == 'image' %%}{{ '%s' }}"
    "{%% elif part['type'] == 'text' %%}{{ part['text'] }}{%% endif %%}{%% endfor %%}"
)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    + _PARTS % "<image>\n"
    + "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
VICUNA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    + _PARTS % "<image>\n"
    + "{{ ' ' }}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
IDEFICS = (
    "{% for message in messages %}{{ message['role'].capitalize() + ':' }}"
    + _PARTS % "<image>"
    + "{{ '<end_of_utterance>\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
COHERE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|START_OF_TURN_TOKEN|><|' + message['role'].upper() + '_TOKEN|>' }}"
    + _PARTS
    % "<image>"
    + "{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|ASSISTANT_TOKEN|>' }}{% endif %}"
)
COHERE_SPECIAL = (
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|SYSTEM_TOKEN|>",
    "<|ASSISTANT_TOKEN|>",
)
LLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    + _PARTS
    % "<|image|>"
    + "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA4 = ("<|header_start|>", "<|header_end|>", "<|eot|>")
"""Its template is the processor's own."""

LLAMA_SPECIAL = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def text_config(kind: Callable[..., Any], tokenizer: Any, **more: Any) -> Any:
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return kind(vocab_size=len(tokenizer), **ids, **{**TEXT, **more})


def save(model: Any, processor: Any, folder: Path) -> None:
    """Writes what a checkpoint has; without a video part's settings, where the processor has none."""
    kind = type(processor)
    parts = [name for name in kind.get_attributes() if getattr(processor, name) is not None]
    if parts != kind.get_attributes():
        # A class of this processor alone, see `images_only`.
        kind.get_attributes = classmethod(lambda _: parts)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def build(kind: Callable[[Any], Any], config: Any, processor: Any, folder: Path) -> None:
    """Weights from a fixed seed."""
    torch.manual_seed(0)
    save(kind(config), processor, folder)
