"""Turns a spec into tensors: prompt, images, answer, and what each token is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.utils import ModelOutput

from flowtui.errors import ModelError, UnsupportedModelError, UsageError

from .grids import LAYOUTS, Seen, as_told
from .images import decode_image
from .loaded import Loaded
from .prompts import has_bos, prompt_text
from .queries import find_projections
from .results import Answer, Prepared, Span, Tokens
from .spans import find_groups, find_spans
from .spec import RunSpec

UNUSED = ("labels",)
"""What a processor may give that is for training alone."""

RENAMED = {"image_patches": "pixel_values"}
"""What a processor still calls by a name that its model gives up (Fuyu)."""


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


def prepare(loaded: Loaded, spec: RunSpec, answer: Answer | None = None, *, may_be_empty: bool = False) -> Inputs:
    """Builds the prompt, finds the answer to analyse and every token's place.

    Args:
        loaded: The model.
        spec: Images and texts. Its answer, where it has one, is tokenised; else the model answers greedily.
        answer: An answer that an earlier preparation of the same spec found: taken id by id, nothing is decoded.
        may_be_empty: Whether an answer without a single token is one: there are no answer rows then.

    Raises:
        UsageError: An image that cannot be read, an empty answer, a text that holds the model's image placeholder, a
            prompt that is too long, or a pinned answer of another model.
        ModelError: The model's processor cannot make a prompt of this.
        UnsupportedModelError: The image tokens cannot be found.
    """
    images = [decode_image(data) for data in spec.images]
    text, before_user = prompt_text(loaded, spec)
    prompt = process_prompt(loaded, text, images)
    start = prompt["input_ids"].shape[1]
    prompt_ids = prompt["input_ids"][0].cpu().numpy().astype(np.int64)
    image_positions = np.flatnonzero(prompt_ids == loaded.image_token_id)
    sizes = tuple((image.width, image.height) for image in images)
    # Before an answer is decoded: a layout knows what the family cannot take.
    spans = _spans(
        Seen(loaded.info.family, loaded.model.config, loaded.processor, prompt, prompt_ids, image_positions, sizes)
    )
    if answer is None:
        answer = _given(loaded, spec.answer, prompt) if spec.answer is not None else _greedy(loaded, spec, prompt)
        if not answer.ids and not may_be_empty:
            raise UsageError("The model's answer is empty: it ends at once.", "Ask differently, or give an answer.")
    elif not (answer.ids or may_be_empty) or not all(0 <= i < _vocabulary(loaded) for i in answer.ids):
        raise UsageError("The run's answer has tokens that this model does not know.", "Was the run made with it?")
    _check_length(loaded, start + len(answer.ids))
    model_inputs = _with_answer(loaded, prompt, answer.ids)
    ids = model_inputs["input_ids"][0].cpu().numpy().astype(np.int64)
    user_start = _common_length(_tokenise(loaded, before_user), ids) if spec.grouping == "roles" else 0
    groups = find_groups(len(ids), image_positions, start, spec.grouping, user_start)
    tokens = Tokens(ids, _pieces(loaded, ids), groups, spans, start, find_projections(loaded, prompt, spans, sizes))
    return Inputs(
        Prepared(loaded.info, tokens, answer, sizes),
        model_inputs,
        start,
        torch.arange(start, len(ids), device=loaded.device) - 1,
        torch.tensor(answer.ids, dtype=torch.long, device=loaded.device),
        torch.as_tensor(image_positions, device=loaded.device),
        spec.max_new_tokens,
        loaded.stop_ids,
    )


def decode_answer(loaded: Loaded, ids: Tensor | list[int] | tuple[int, ...]) -> str:
    """Answer ids as text, special tokens left out."""
    return str(loaded.processor.tokenizer.decode([int(i) for i in ids], skip_special_tokens=True)).strip()


def _pieces(loaded: Loaded, ids: NDArray[np.int64] | tuple[int, ...]) -> tuple[str, ...]:
    """Each token as text, decoded on its own."""
    return tuple(str(loaded.processor.tokenizer.decode([int(i)])) for i in ids)


def process_prompt(loaded: Loaded, prompt: str, images: list[Image.Image]) -> dict[str, Tensor]:
    """The processor's tensors on the model's device, floating point ones in the model's precision."""
    # A template that writes the begin token itself must not get a second one.
    extra = {"add_special_tokens": False} if has_bos(loaded, prompt) else {}
    # Several images of one prompt are one sample, a list in a list, as in ProcessorMixin.apply_chat_template:
    # LLaVA-OneVision takes a flat list for a sample each. A processor that knows only flat lists gets one.
    ways: list[list[Any]] = [images] if len(images) == 1 else [[images], images]
    batch: dict[str, Any] = {}
    refused: Exception | None = None
    for way in ways:
        try:
            with warnings.catch_warnings():
                # What libraries tell each other about their next versions.
                warnings.simplefilter("ignore", DeprecationWarning)
                batch = dict(loaded.processor(images=way, text=prompt, return_tensors="pt", **extra))
            break
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError) as error:
            refused = refused or error
    else:
        raise ModelError(f"The model's processor cannot make inputs of this prompt: {refused}") from refused
    tensors = {RENAMED.get(k, k): v for k, v in batch.items() if isinstance(v, Tensor) and k not in UNUSED}
    return {k: v.to(loaded.device, loaded.dtype if v.is_floating_point() else None) for k, v in tensors.items()}


def _with_answer(loaded: Loaded, prompt: dict[str, Tensor], answer: tuple[int, ...]) -> dict[str, Tensor]:
    """The prompt's inputs with the answer's tokens behind them."""
    ids = prompt["input_ids"]
    # What stands beside every token (masks, kinds) goes on as the model itself lets it go on when it generates:
    # PaliGemma's answer is the causal suffix of a prefix that is read in both directions, others repeat the last kind.
    beside = {name: value for name, value in prompt.items() if name != "input_ids" and value.shape == ids.shape}
    grown = dict(beside)
    for _ in answer:
        grown = cast(Any, loaded.model)._update_model_kwargs_for_generation(ModelOutput(), grown)
    for name in beside:
        if grown[name].shape[-1] != ids.shape[-1] + len(answer):
            raise UnsupportedModelError(f"The processor gives {name} for every token; for an answer's it is not known.")
    answered = torch.cat((ids, ids.new_tensor(answer)[None]), 1)
    return {**prompt, **{name: grown[name] for name in beside}, "input_ids": answered}


def answered(loaded: Loaded, inputs: Inputs, answer: tuple[int, ...]) -> dict[str, Tensor]:
    """The model's inputs for the same prompt with another answer behind it."""
    whole = inputs.model_inputs["input_ids"].shape
    prompt = {
        name: value[..., : inputs.prompt_length] if value.shape == whole else value
        for name, value in inputs.model_inputs.items()
    }
    return _with_answer(loaded, prompt, answer)


def _given(loaded: Loaded, text: str, prompt: dict[str, Tensor]) -> Answer:
    """The user's answer, and whether the model would stop after it."""
    ids = [int(i) for i in loaded.processor.tokenizer(text, add_special_tokens=False)["input_ids"]]
    while ids and ids[-1] in loaded.stop_ids:
        ids.pop()
    if not text.strip() or not ids:
        raise UsageError("The given answer is empty.", "Give a word or more, or leave it out to let the model answer.")
    _check_length(loaded, prompt["input_ids"].shape[1] + len(ids))
    stopped = int(loaded.last_logits(_with_answer(loaded, prompt, tuple(ids))).argmax()) in loaded.stop_ids
    return Answer(tuple(ids), decode_answer(loaded, ids), _pieces(loaded, tuple(ids)), given=True, stopped=stopped)


def _greedy(loaded: Loaded, spec: RunSpec, prompt: dict[str, Tensor]) -> Answer:
    """The model's own greedy answer without its end token, and whether there was one."""
    start = prompt["input_ids"].shape[1]
    _check_length(loaded, start + 1)
    limit = min(spec.max_new_tokens, (_longest(loaded) or start + spec.max_new_tokens) - start)
    with torch.inference_mode():
        made = loaded.generate(prompt, limit)
    ids = tuple(int(i) for i in made[0, start:])
    stopped = bool(ids) and ids[-1] in loaded.stop_ids
    ids = ids[:-1] if stopped else ids
    return Answer(ids, decode_answer(loaded, ids), _pieces(loaded, ids), given=False, stopped=stopped)


def _longest(loaded: Loaded) -> int | None:
    limit = getattr(loaded.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def _check_length(loaded: Loaded, length: int) -> None:
    limit = _longest(loaded)
    if limit is not None and length > limit:
        raise UsageError(f"Prompt and answer have {length} tokens; the model reads at most {limit}.", "Shorten them.")


def _vocabulary(loaded: Loaded) -> int:
    return int(loaded.model.get_input_embeddings().weight.shape[0])


def _tokenise(loaded: Loaded, text: str) -> list[int]:
    return [int(i) for i in loaded.processor.tokenizer(text, add_special_tokens=not has_bos(loaded, text))["input_ids"]]


def _common_length(ids: list[int], full: NDArray[np.int64]) -> int:
    """How many leading ids agree: the text may be cut inside a token."""
    n = min(len(ids), len(full))
    differ = np.flatnonzero(np.asarray(ids[:n], dtype=np.int64) != full[:n])
    common = int(differ[0]) if len(differ) else n
    # A begin token that the processor itself puts in front of every prompt (Molmo2) is none of the text's.
    return common if common or not ids or len(full) < 2 or full[1] != ids[0] else 1 + _common_length(ids, full[1:])


def _spans(seen: Seen) -> tuple[Span, ...]:
    """The family's own layout of the image tokens, or the one that fits most."""
    # LLaVA's connector goes with towers of other kinds: where the tower makes the grid, it is named too.
    vision = getattr(getattr(seen.config, "vision_config", None), "model_type", "")
    layout = LAYOUTS.get(f"{seen.family}-{vision}") or LAYOUTS.get(seen.family)
    if layout is not None and len(seen.image_positions):
        return layout(seen)
    if len(seen.image_positions) and (told := as_told(seen)) is not None:
        return told
    return find_spans(
        seen.image_positions,
        seen.image_sizes,
        image_processor=getattr(seen.processor, "image_processor", None),
        seen_px=_seen_px(seen.prompt, len(seen.image_sizes)),
        patch_px=_patch_px(seen.config),
    )


def _seen_px(prompt: dict[str, Tensor], images: int) -> tuple[int, int] | None:
    """(width, height) of the processed images, where each is one rectangle."""
    pixels = prompt.get("pixel_values")
    if pixels is None or pixels.ndim != 4 or len(pixels) != images:
        return None
    return int(pixels.shape[3]), int(pixels.shape[2])


def _patch_px(config: PreTrainedConfig) -> int | None:
    size = getattr(getattr(config, "vision_config", None), "patch_size", None)
    return size if isinstance(size, int) else None
