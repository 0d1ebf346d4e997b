"""How the decoder would call its layers for text that comes after what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from ._calls import LayerCall
from ._record import Recording
from .loaded import Loaded


@dataclass(frozen=True, slots=True)
class Future:
    """How text would go through the decoder.

    Attributes:
        calls: How each layer would be called: one per layer, for every position.
        added: What the decoder adds to a token's embedding at each position before its first layer, as learned
            positions are: [length d]; None where it adds nothing.
    """

    calls: list[LayerCall]
    added: Tensor | None

    def enter(self, embeddings: Tensor, positions: Tensor) -> Tensor:
        """Embeddings [1 S d] of text at `positions` [S] -> the residual stream entering the first layer."""
        return embeddings if self.added is None else embeddings + self.added[positions]


def look_ahead(loaded: Loaded, recording: Recording, length: int, tokens: Tensor) -> Future:
    """Asks the decoder itself, with layers that do nothing.

    Args:
        loaded: The model.
        recording: A full pass; its positions are counted on from their last.
        length: Positions to be called for; those recorded come first, but for images only their positions are right.
        tokens: A text of the model, to try its embeddings on: [any] int64.

    Raises:
        UnsupportedModelError: The decoder does something else to its token embeddings before the first layer.
    """
    calls: list[LayerCall] = []
    entered: list[Tensor] = []

    def stub(layer: nn.Module) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> Any:
            hidden, call = LayerCall.of(layer, args, kwargs)
            calls.append(call)
            entered.append(hidden)
            return (hidden,) if recording.returns_tuples else hidden

        return forward

    def ask(embeddings: Tensor) -> Tensor:
        """What is added before the first layer: [1 length d]."""
        calls.clear()
        entered.clear()
        loaded.decoder(inputs_embeds=embeddings, position_ids=positions, use_cache=False)
        return entered[0] - embeddings

    positions = extend_positions(recording.position_ids, length)
    embedding = loaded.model.get_input_embeddings()
    spread = tokens[torch.arange(length, device=loaded.device) % len(tokens)][None]
    with ExitStack() as undo:
        for layer in loaded.layers:
            undo.callback(_restore, layer, layer.__dict__.get("forward"))
            layer.__dict__["forward"] = stub(layer)
        text = embedding(spread)
        # Where nothing is added the stream is the embedding itself, bit by bit, and a difference would be zero.
        added = ask(torch.zeros_like(text))
        ask(text)
    if torch.equal(entered[0], text):
        return Future(calls, None)
    if not torch.allclose(entered[0], text + added, rtol=1e-3, atol=1e-5):
        raise UnsupportedModelError(f"The {loaded.info.family} decoder changes token embeddings before its layers.")
    return Future(calls, added[0])


def extend_positions(position_ids: Tensor | None, length: int) -> Tensor | None:
    """Positions [... N] cut or continued to `length`: text after text counts on by one, in every dimension."""
    if position_ids is None:
        return None
    more = torch.arange(1, length - position_ids.shape[-1] + 1, device=position_ids.device)
    return torch.cat([position_ids[..., :length], position_ids[..., -1:] + more], -1)


def _restore(layer: nn.Module, forward: object) -> None:
    layer.__dict__.pop("forward", None)
    if forward is not None:
        layer.__dict__["forward"] = forward
