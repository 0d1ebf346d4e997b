"""Calling a decoder's layers one by one, for some of the tokens: the decoder's own call, cut down to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from .loaded import Loaded


class Cache(Protocol):
    """What a layer needs of transformers' cache."""

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Takes a layer's new keys and values and returns all that its queries may see."""

    def get_seq_length(self, *_: object) -> int:
        """Where the layer's own tokens start, for layers that count places themselves (see `check_places`)."""


class KeyValues:
    """Stands in for transformers' cache inside one call of a layer.

    Attributes:
        keys: What the layer computed for its own tokens: [B kv_heads S head_dim], rotated.
        values: Likewise.
        past: Earlier keys and values that the layer's queries also see, each [B kv_heads P head_dim].
    """

    def __init__(self, past: tuple[Tensor, Tensor] | None = None) -> None:
        self.past = past
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Keeps the new keys and values and returns all that the queries see."""
        self.keys, self.values = keys, values
        if self.past is None:
            return keys, values
        return torch.cat([self.past[0], keys], -2), torch.cat([self.past[1], values], -2)

    def get_seq_length(self, *_: object) -> int:
        """Nought: who asks counts places himself, and all places are alike to him (see `check_places`)."""
        return 0

    def stored(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the call.

        Raises:
            UnsupportedModelError: The layer did not hand them over.
        """
        if self.keys is None or self.values is None:
            raise UnsupportedModelError(
                "A decoder layer does not hand its keys and values to a cache.",
                "Truncation needs a decoder with an ordinary key-value cache.",
            )
        return self.keys, self.values

    def joined(self) -> KeyValues:
        """The earlier ones and the call's own, as if one call had made them."""
        whole = KeyValues()
        whole.keys, whole.values = self.stored()
        if self.past is not None:
            whole.keys, whole.values = (
                torch.cat([self.past[0], whole.keys], -2),
                torch.cat([self.past[1], whole.values], -2),
            )
        return whole


@dataclass(frozen=True, slots=True)
class LayerCall:
    """How the decoder calls one layer: every argument but the residual stream, for all N tokens.

    Attributes:
        kwargs: Arguments by name.
        length: N.
    """

    kwargs: Mapping[str, Any]
    length: int

    @classmethod
    def of(cls, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Tensor, LayerCall]:
        """Splits a call into the residual stream [1 N d] and the rest."""
        names = list(inspect.signature(type(layer).forward).parameters)[1:]
        named = {**dict(zip(names, args, strict=False)), **kwargs}
        hidden = named.pop("hidden_states")
        named.pop("past_key_values", None)
        return hidden, cls(named, hidden.shape[1])

    def at(self, positions: Tensor) -> dict[str, Any]:
        """The arguments for the tokens at `positions` [B S] (B = 1: the same for the whole batch), mask left out.

        Raises:
            UnsupportedModelError: An argument runs over the tokens in a way that is not known.
        """
        chosen: dict[str, Any] = {}
        for name, value in self.kwargs.items():
            if name == "attention_mask":
                continue
            if name == "position_embeddings":
                chosen[name] = _map_tensors(value, lambda t: _take(t, positions, -2))
            elif name == "position_ids":
                chosen[name] = _map_tensors(value, lambda t: _take(t, positions, -1))
            elif name == "cache_position":
                chosen[name] = _map_tensors(value, lambda t: t[positions[0]])
            elif isinstance(value, Tensor) and self.length in value.shape:
                raise UnsupportedModelError(f"The decoder layers take a per-token argument {name!r} that is not known.")
            else:
                chosen[name] = value
        return chosen

    def allowed(self, queries: Tensor, keys: Tensor) -> Tensor | None:
        """Which keys each query sees, by original positions: queries [B Q], keys [B K].

        Returns:
            [B 1|H Q K], boolean or additive as the decoder made it; None where its mask is plain causal.
        """
        mask = self.kwargs.get("attention_mask")
        if mask is None:
            return None
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            raise UnsupportedModelError("The decoder layers take an attention mask that is not [batch head query key].")
        return mask[0][:, queries[:, :, None], keys[:, None, :]].transpose(0, 1)


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask in the additive form that every attention function takes."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


def _map_tensors(value: Any, take: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return take(value)
    if isinstance(value, tuple | list):
        return type(value)(_map_tensors(v, take) for v in value)
    if value is None:
        return None
    raise UnsupportedModelError(f"The decoder layers take positions as {type(value).__name__}, which is not known.")


def _take(tensor: Tensor, positions: Tensor, dim: int) -> Tensor:
    """Picks tokens along `dim` (-1 or -2); the batch dimension, 1, stands before it and becomes B."""
    if tensor.ndim < 1 - dim or tensor.shape[dim - 1] != 1:
        raise UnsupportedModelError(f"The decoder layers take positions of shape {tuple(tensor.shape)}.")
    flat = tensor.squeeze(dim - 1).index_select(dim, positions.reshape(-1))
    shape = list(flat.shape)
    shape[dim : dim + 1 or None] = positions.shape
    return flat.reshape(shape)


def check_layers(loaded: Loaded) -> None:
    """Refuses layers that cannot be called one by one.

    Raises:
        UnsupportedModelError: A layer takes no residual stream or no cache by the names transformers gives them.
    """
    for layer in loaded.layers:
        known = inspect.signature(type(layer).forward).parameters
        open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values())
        if "hidden_states" not in known or not ("past_key_values" in known or open_ended):
            raise UnsupportedModelError(
                f"Truncation does not know how to call the {loaded.info.family} decoder's {type(layer).__name__}.",
                f"It takes {', '.join(known)}.",
            )


def check_places(loaded: Loaded, length: int) -> None:
    """Refuses prompts so long that a layer, called for some of the tokens, would get a token's place wrong.

    Llama 4 sharpens the attention of far tokens in layers without rotary positions, and counts the places there by
    itself, from the call's first token on. Before `floor_scale` tokens nothing is sharpened: all places are alike.

    Raises:
        UnsupportedModelError: Prompt, answer and what may be decoded are longer than that.
    """
    for attention in loaded.attentions:
        counts = getattr(attention, "attn_temperature_tuning", False) and not getattr(attention, "use_rope", True)
        limit = int(getattr(attention, "floor_scale", 0))
        if counts and length >= limit:
            raise UnsupportedModelError(
                f"From {limit} tokens on, the {loaded.info.family} decoder scales attention by each"
                f" token's place, which it counts itself; with {length} tokens it cannot be run for some of them.",
                "Use smaller images, fewer of them or a shorter answer.",
            )


def call_layer(layer: nn.Module, hidden: Tensor, kwargs: dict[str, Any], cache: Cache) -> Tensor:
    """Runs one layer: residual stream in, residual stream out, both [B S d]."""
    output = layer(hidden, past_key_values=cache, **kwargs)
    return output if isinstance(output, Tensor) else output[0]
