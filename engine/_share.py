"""The full pass of a question whose prompt begins like another's, image included: only the rest is run."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ._calls import KeyValues, additive, call_layer
from ._future import extend_positions, look_ahead
from ._logits import head
from ._record import Recording, Report
from .inputs import Inputs
from .loaded import Loaded


def shared_length(first: Inputs, inputs: Inputs) -> int | None:
    """How many leading tokens two prompts share; None where the images are not all among them, or are not the same."""
    a, b = first.model_inputs["input_ids"][0], inputs.model_inputs["input_ids"][0]
    # The answers' tokens are not compared: a shared one could be another's prompt.
    n = min(first.prompt_length, inputs.prompt_length)
    differ = (a[:n] != b[:n]).nonzero()
    # At least one row must be the question's own.
    length = min(int(differ[0]) if len(differ) else n, inputs.prompt_length - 1)
    image = inputs.image_positions
    if not torch.equal(first.image_positions, image) or length <= int(image[-1]):
        return None
    same = first.model_inputs.keys() == inputs.model_inputs.keys() and all(
        torch.equal(value, inputs.model_inputs[name])
        for name, value in first.model_inputs.items()
        if value.shape != first.model_inputs["input_ids"].shape
    )
    return length if same else None


def follow(loaded: Loaded, inputs: Inputs, first_inputs: Inputs, first: Recording, report: Report) -> Recording | None:
    """The recording of `inputs`, from one whose prompt begins alike; None where nothing can be shared.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        first_inputs: The other's.
        first: The other's full pass, with the text tokens as its tokens of interest.
        report: Called with each layer's index before it runs.
    """
    length = shared_length(first_inputs, inputs)
    if length is None:
        return None
    later = torch.zeros(first.calls[0].length, dtype=torch.bool, device=loaded.device)
    later[length:] = True
    if bool(first.changed_by(later)[:length].any()):
        # Tokens before see those after (a prefix mask): the beginning is not the same after all.
        return None
    ids = inputs.model_inputs["input_ids"][:, length:]
    start = replace(first, position_ids=_cut(first.position_ids, length))
    future = look_ahead(loaded, start, inputs.length, ids[0])
    own = torch.arange(length, inputs.length, device=loaded.device)
    everything = torch.arange(inputs.length, device=loaded.device)
    rows = torch.arange(inputs.prompt_length - 1, inputs.length, device=loaded.device)
    recording = replace(
        first,
        rows=rows,
        positions={},
        entering={},
        calls=future.calls,
        caches=[],
        position_ids=extend_positions(start.position_ids, inputs.length),
    )
    hidden = future.enter(loaded.model.get_input_embeddings()(ids), own)
    for index, (layer, call) in enumerate(zip(loaded.layers, future.calls, strict=True)):
        report(index)
        if index in first.entering:
            before = first.positions[index] < length
            recording.positions[index] = torch.cat([first.positions[index][before], own])
            recording.entering[index] = torch.cat([first.entering[index][before], hidden[0]])
        keys, values = first.caches[index].stored()
        cache = KeyValues((keys[:, :, :length], values[:, :, :length]))
        allowed = call.allowed(own[None], everything[None])
        if allowed is None:
            allowed = (everything <= own[:, None])[None, None]
        kwargs = {**call.at(own[None]), "attention_mask": additive(allowed, hidden.dtype)}
        hidden = call_layer(layer, hidden, kwargs, cache)
        recording.caches.append(cache.joined())
    recording.logits = head(loaded, hidden[0, rows - length])
    return recording


def _cut(position_ids: Tensor | None, length: int) -> Tensor | None:
    return None if position_ids is None else position_ids[..., :length]
