"""Taking tokens out of a decoder with layers that have no attention, by really leaving them out: a pass for each case.

Convolutions and linear attention mix a token with those before it, so there are no keys and values to share between
the full run and a shortened one (`_walk`). What is left is the definition itself: from some layer on the sequence is
shorter, and everything after runs again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from ._calls import LayerCall
from ._logits import likeliest, run_model
from .inputs import Inputs, answered
from .loaded import Loaded


def is_hybrid(loaded: Loaded) -> bool:
    """Whether some layer has no attention."""
    return len(loaded.attending) < len(loaded.layers)


def dropped_logits(
    loaded: Loaded, model_inputs: Mapping[str, Tensor], layer: int, kept: Tensor, rows: Tensor
) -> Tensor:
    """Logits when only some tokens go on from a layer on, at their original places.

    Args:
        loaded: The model.
        model_inputs: Prompt and answer.
        layer: First layer that sees the kept tokens only; L for the untouched model.
        kept: Positions that go on, ascending: [S].
        rows: Positions among them to read: [R].

    Returns:
        [R vocab], float32.
    """
    if layer >= len(loaded.layers):
        return run_model(loaded, model_inputs, rows)
    index = 0

    def enter(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal index
        at, index = index, index + 1
        if at < layer:
            return args, kwargs
        hidden, call = LayerCall.of(module, args, kwargs)
        # After the first of these the residual stream is short already; the other arguments never are.
        call = LayerCall(call.kwargs, int(model_inputs["input_ids"].shape[1]))
        named = {**call.at(kept[None]), "attention_mask": _shortened(call.kwargs.get("attention_mask"), kept)}
        return (hidden[:, kept] if at == layer else hidden,), named

    with ExitStack() as hooks:
        for module in loaded.layers:
            hooks.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
        return run_model(loaded, model_inputs, torch.searchsorted(kept, rows))


def decode_dropped(
    loaded: Loaded, inputs: Inputs, layer: int, kept_prompt: Tensor, ids: list[int], report: Callable[[float], None]
) -> tuple[list[int], bool]:
    """Goes on greedily from an answer's beginning, with a whole pass for every token.

    Args:
        loaded: The model.
        inputs: Prompt and limits.
        layer: First layer that sees the kept tokens only.
        kept_prompt: Positions of the prompt that go on there.
        ids: The answer so far.
        report: Called with the fraction of the longest possible answer before each pass.

    Returns:
        The answer without its end token, and whether there was one.
    """
    ids = list(ids)
    while len(ids) < inputs.max_new_tokens:
        report(len(ids) / inputs.max_new_tokens)
        end = inputs.prompt_length + len(ids)
        answer = torch.arange(inputs.prompt_length, end, device=loaded.device)
        last = torch.tensor([end - 1], device=loaded.device)
        grown = answered(loaded, inputs, tuple(ids))
        logits = dropped_logits(loaded, grown, layer, torch.cat([kept_prompt, answer]), last)
        token = int(likeliest(loaded, logits)[0])
        if token in inputs.stop_ids:
            return ids, True
        ids.append(token)
    return ids, False


def _shortened(mask: object, kept: Tensor) -> Tensor | None:
    """A layer's mask for the kept tokens: [B H N N] of attention, or [B N] of a layer without."""
    if mask is None:
        return None
    if isinstance(mask, Tensor) and mask.ndim == 4:
        return mask[:, :, kept][..., kept]
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return mask[:, kept]
    raise UnsupportedModelError("The decoder layers take an attention mask of a form that is not known.")
