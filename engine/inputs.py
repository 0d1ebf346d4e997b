"""Turns a spec into tensors: prompt, images, answer, and what each token is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor

from flowtui.errors import ModelError, UnsupportedModelError, UsageError

from .images import decode_image
from .models import Loaded
from .results import Answer, Prepared, Tokens
from .spans import find_groups, find_spans
from .spec import RunSpec

FALLBACK_SYSTEM = "{system} "
FALLBACK_PROMPT = "USER: {images}\n{question} ASSISTANT:"
"""The prompt for processors without a chat template: LLaVA-1.5's own (Vicuna)."""

PADDING = {"attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}
"""What the answer's tokens get in inputs that hold one value per token."""


@dataclass(slots=True)
class Inputs:
    """One prompt with its answer, on the model's device.

    Attributes:
        prepared: The same without tensors, for run files and screens.
        model_inputs: Keyword arguments of the model: input_ids [1 N] of prompt and answer, pixel_values, ...
        prompt_length: P, the position of the first answer token.
        answer_rows: [T] int64, the row that predicts each answer token (its position - 1).
        answer_ids: [T] int64.
        image_positions: [n] int64.
        max_new_tokens: Limit of a greedy answer.
        stop_ids: Ids that end an answer.
    """

    prepared: Prepared
    model_inputs: dict[str, Tensor]
    prompt_length: int
    answer_rows: Tensor
    answer_ids: Tensor
    image_positions: Tensor
    max_new_tokens: int
    stop_ids: tuple[int, ...]

    @property
    def length(self) -> int:
        """N, prompt and answer together."""
        return int(self.model_inputs["input_ids"].shape[1])


def prepare(loaded: Loaded, spec: RunSpec) -> Inputs:
    """Builds the prompt, lets the model answer (or takes the given answer) and finds every token's place.

    Raises:
        UsageError: An image that cannot be read, an empty answer, a text that holds the model's image placeholder, or
            a prompt that is too long.
        ModelError: The model's processor cannot make a prompt of this.
        UnsupportedModelError: The image tokens cannot be found.
    """
    images = [decode_image(data) for data in spec.images]
    prompt, user_turn = _prompt_text(loaded, spec)
    prompt_inputs = _process(loaded, prompt, images)
    prompt_ids = prompt_inputs["input_ids"]
    answer_ids, stopped = (
        _given(loaded, spec, prompt_inputs) if spec.answer is not None else _greedy(loaded, spec, prompt_inputs)
    )
    start, ids = prompt_ids.shape[1], torch.cat((prompt_ids, answer_ids[None].to(prompt_ids.device)), 1)
    model_inputs = {k: _extend(k, v, start, len(answer_ids)) for k, v in prompt_inputs.items()} | {"input_ids": ids}
    flat = ids[0].cpu().numpy()
    image_positions = np.flatnonzero(flat[:start] == loaded.image_token_id)
    sizes = tuple((image.width, image.height) for image in images)
    pixels = prompt_inputs.get("pixel_values")
    whole = pixels is not None and pixels.ndim == 4 and len(pixels) == len(images)
    spans = find_spans(
        image_positions,
        sizes,
        image_processor=getattr(loaded.processor, "image_processor", None),
        seen_px=(int(pixels.shape[3]), int(pixels.shape[2])) if whole and pixels is not None else None,
        patch_px=_patch_px(loaded),
    )
    user_start = _common_length(_tokenise(loaded, user_turn), flat) if spec.grouping == "roles" else 0
    groups = find_groups(len(flat), image_positions, start, spec.grouping, user_start)
    text = tuple(loaded.processor.tokenizer.decode([int(i)]) for i in flat)
    tokens = Tokens(flat.astype(np.int64), text, groups, spans, start)
    answer = Answer(
        tuple(int(i) for i in answer_ids),
        decode_answer(loaded, answer_ids),
        text[start:],
        spec.answer is not None,
        stopped,
    )
    device = ids.device
    return Inputs(
        Prepared(loaded.info, tokens, answer, sizes),
        model_inputs,
        start,
        torch.arange(start, len(flat), device=device) - 1,
        answer_ids.to(device),
        torch.as_tensor(image_positions, device=device),
        spec.max_new_tokens,
        loaded.stop_ids,
    )


def decode_answer(loaded: Loaded, ids: Tensor | list[int]) -> str:
    """Answer ids as text, special tokens left out."""
    return str(loaded.processor.tokenizer.decode(ids, skip_special_tokens=True)).strip()


def _prompt_text(loaded: Loaded, spec: RunSpec) -> tuple[str, str]:
    """The prompt, and the part of it before the user's turn."""
    placeholder = str(loaded.processor.tokenizer.convert_ids_to_tokens(loaded.image_token_id))
    for what, text in (("question", spec.question), ("system prompt", spec.system), ("answer", spec.answer)):
        if text and placeholder in text:
            raise UsageError(
                f"The {what} holds {placeholder!r}, which stands for an image in this model's prompts.", "Leave it out."
            )
    if not getattr(loaded.processor, "chat_template", None):
        system = FALLBACK_SYSTEM.format(system=spec.system) if spec.system else ""
        bos = loaded.processor.tokenizer.bos_token or ""
        marker = str(getattr(loaded.processor, "image_token", placeholder))
        shown = "\n".join([marker] * len(spec.images))
        return bos + system + FALLBACK_PROMPT.format(images=shown, question=spec.question), bos + system
    user: list[dict[str, str]] = [*({"type": "image"} for _ in spec.images), {"type": "text", "text": spec.question}]
    system_turn = (
        [] if spec.system is None else [{"role": "system", "content": [{"type": "text", "text": spec.system}]}]
    )
    prompt = _render(loaded, [*system_turn, {"role": "user", "content": user}])
    if spec.system and spec.system not in prompt:
        # Some templates take a system prompt as plain text only.
        system_turn = [{"role": "system", "content": spec.system}]  # type: ignore[dict-item]
        prompt = _render(loaded, [*system_turn, {"role": "user", "content": user}])
        if spec.system not in prompt:
            raise UsageError("This model's chat template has no place for a system prompt.", "Leave --system out.")
    return prompt, _before_user(loaded, prompt, system_turn, user)


def _render(loaded: Loaded, messages: list[dict[str, Any]], *, answer_next: bool = True) -> str:
    try:
        return str(loaded.processor.apply_chat_template(messages, add_generation_prompt=answer_next, tokenize=False))
    except (TemplateError, ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelError(f"The model's chat template cannot show this prompt: {error}") from error


def _before_user(loaded: Loaded, prompt: str, system_turn: list[dict[str, Any]], user: list[dict[str, str]]) -> str:
    """The prompt up to the user's turn: what it shares with the same messages told by another role."""
    try:
        other = _render(loaded, [*system_turn, {"role": "assistant", "content": user}], answer_next=False)
    except ModelError:
        other = _render(loaded, [*system_turn, {"role": "user", "content": [{"type": "text", "text": "\0"}]}])
    before = os.path.commonprefix([prompt, other])
    # A turn's opening token belongs to the turn, even where it is the same for every role.
    for special in loaded.processor.tokenizer.get_added_vocab():
        if before.endswith(special) and special != loaded.processor.tokenizer.bos_token:
            return before.removesuffix(special)
    return before


def _tokenise(loaded: Loaded, text: str) -> list[int]:
    tokenizer = loaded.processor.tokenizer
    return list(tokenizer(text, add_special_tokens=not _has_bos(loaded, text))["input_ids"])


def _has_bos(loaded: Loaded, text: str) -> bool:
    bos = loaded.processor.tokenizer.bos_token
    return bos is not None and text.startswith(bos)


def _common_length(ids: list[int], full: np.ndarray[Any, Any]) -> int:
    """How many leading ids agree: the text may be cut inside a token."""
    n = min(len(ids), len(full))
    differ = np.flatnonzero(np.asarray(ids[:n]) != full[:n])
    return int(differ[0]) if len(differ) else n


def _process(loaded: Loaded, prompt: str, images: list[Image.Image]) -> dict[str, Tensor]:
    try:
        # A template that writes the begin token itself must not get a second one.
        extra = {"add_special_tokens": False} if _has_bos(loaded, prompt) else {}
        batch = loaded.processor(images=images, text=prompt, return_tensors="pt", **extra)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
        raise ModelError(f"The model's processor cannot make inputs of this prompt: {error}") from error
    return {
        k: v.to(loaded.device, loaded.dtype if v.is_floating_point() else None)
        for k, v in batch.items()
        if isinstance(v, Tensor)
    }


def _given(loaded: Loaded, spec: RunSpec, prompt_inputs: dict[str, Tensor]) -> tuple[Tensor, bool]:
    """Ids of the given answer, and whether the model would stop after it."""
    ids = [int(i) for i in loaded.processor.tokenizer(spec.answer, add_special_tokens=False)["input_ids"]]
    while ids and ids[-1] in loaded.stop_ids:
        ids.pop()
    if not (spec.answer or "").strip() or not ids:
        raise UsageError(
            "The given answer is empty.", "Give at least one word, or leave it out to let the model answer."
        )
    answer = torch.tensor(ids, device=loaded.device)
    _check_length(loaded, prompt_inputs["input_ids"].shape[1] + len(ids))
    start = prompt_inputs["input_ids"].shape[1]
    full = {k: _extend(k, v, start, len(ids)) for k, v in prompt_inputs.items()}
    full["input_ids"] = torch.cat((prompt_inputs["input_ids"], answer[None]), 1)
    with torch.inference_mode():
        logits = loaded.model(**full, use_cache=False, logits_to_keep=1).logits
    return answer, int(logits[0, -1].argmax()) in loaded.stop_ids


def _greedy(loaded: Loaded, spec: RunSpec, prompt_inputs: dict[str, Tensor]) -> tuple[Tensor, bool]:
    """Ids of the model's own greedy answer without its end token, and whether there was one."""
    start = prompt_inputs["input_ids"].shape[1]
    _check_length(loaded, start + 1)
    with torch.inference_mode():
        made = loaded.model.generate(**prompt_inputs, do_sample=False, num_beams=1, max_new_tokens=spec.max_new_tokens)
    ids = made[0, start:].clone()
    stopped = len(ids) > 0 and int(ids[-1]) in loaded.stop_ids
    ids = ids[:-1] if stopped else ids
    if len(ids) == 0:
        raise UsageError(
            "The model's answer is empty: it ends at once.", "Ask differently, or give an answer to analyse."
        )
    return ids, stopped


def _check_length(loaded: Loaded, length: int) -> None:
    limit = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(limit, int) and length > limit:
        raise UsageError(f"The prompt and answer have {length} tokens; the model reads at most {limit}.", "Shorten it.")


def _extend(name: str, value: Tensor, start: int, more: int) -> Tensor:
    """Gives inputs that hold one value per prompt token their values for the answer's tokens."""
    if name not in PADDING:
        if name != "input_ids" and value.ndim == 2 and value.shape == (1, start):
            raise UnsupportedModelError(
                f"The model's processor gives {name} per token, which the engine cannot extend."
            )
        return value
    return torch.cat((value, value.new_full((*value.shape[:-1], more), PADDING[name])), -1)


def _patch_px(loaded: Loaded) -> int | None:
    size = getattr(getattr(loaded.model.config, "vision_config", None), "patch_size", None)
    return size if isinstance(size, int) else None
