"""Items without an image: the model answers, and there is nothing to cut, so that every K gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from flowtui.engine.inputs import decode_answer
from flowtui.engine.loaded import Loaded
from flowtui.engine.prompts import has_bos, text_prompt
from flowtui.errors import ModelError

from .journal import Record
from .plan import Options


@torch.inference_mode()
def answer_text(loaded: Loaded, question: Mapping[str, Any], options: Options) -> Record:
    """The record of a text-only item.

    Args:
        loaded: The model.
        question: `index` and `prompt` of the item.
        options: Limits, and the ways of cutting that records have.

    Raises:
        ModelError: The model's processor takes no prompt without an image.
    """
    text = text_prompt(loaded, question["prompt"])
    extra = {"add_special_tokens": False} if has_bos(loaded, text) else {}
    batch = dict(loaded.processor.tokenizer([text], return_tensors="pt", **extra))
    prompt = {name: value.to(loaded.device) for name, value in batch.items() if name in ("input_ids", "attention_mask")}
    start = prompt["input_ids"].shape[1]
    try:
        made = loaded.generate(prompt, options.max_new_tokens)[:, start:]
        logits = loaded.model(input_ids=torch.cat([prompt["input_ids"], made], 1), use_cache=False).logits[0]
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ModelError(f"The model takes no prompt without an image: {error}") from error
    ids = made[0].tolist()
    logs = logits[start - 1 : -1].float().log_softmax(-1).gather(-1, made[0][:, None])[:, 0]
    stopped = bool(ids) and ids[-1] in loaded.stop_ids
    ids = ids[:-1] if stopped else ids
    answer, count = decode_answer(loaded, ids), loaded.info.layers + 1
    logprob = float(logs[: len(ids)].mean()) if ids else 0.0
    curve = {
        "texts": [answer],
        "text": [0] * count,
        "logprob": [logprob] * count,
        "kl": [0.0] * count,
        "same": [True] * count,
    }
    curves = [curve for _ in options.cuts]
    return {
        "item": question["index"],
        "ids": ids,
        "stopped": stopped,
        "answer": answer,
        "curves": curves,
        "traits": None,
    }
