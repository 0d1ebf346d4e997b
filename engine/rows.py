"""Exact attention weights of a few rows, read off a normal forward pass.

Transformers looks its attention function up by name, at every call. `watch` gives the decoder a name of ours for as
long as it lasts: the function behind it computes the layer's normal output (SDPA, or the formula where SDPA has none)
and, beside it, the weights of the rows asked for, a chunk of rows at a time. No [layer head query key] tensor ever
exists. The same place cuts connections between positions (`Cut`), layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from .budget import rows_per_chunk
from .loaded import Loaded

NAME = "flowtui"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of one layer's attention.

    Attributes:
        layer: 0-based.
        start: Index of the first of these rows among the rows asked for.
        weights: [head row key] float32, sums to 1 over key.
        value_norm: [head key] float32, length of each head's value vector at each key.
    """

    layer: int
    start: int
    weights: Tensor
    value_norm: Tensor


@dataclass(frozen=True, slots=True)
class Cut:
    """Connections that a layer must not have. A position always keeps the one to itself: a row needs a key.

    Attributes:
        keys: [N] bool, the positions that cannot be seen.
        queries: [N] bool, the positions that cannot see them; None for all.
    """

    keys: Tensor
    queries: Tensor | None = None


@dataclass(slots=True)
class Watch:
    """What to read, and what to change, in one forward pass over one sequence without a key-value cache.

    Attributes:
        rows: [R] int64, query positions to read.
        layers: Layers to read.
        on_chunk: Gets the rows in order, chunk by chunk; called inside the layer, so an exception ends the pass. None
            where no row is read.
        cuts: Layer -> connections to cut there.
        on_output: Gets (layer, scores, value [1 Hkv N d], output [1 N H d]) of every layer, those not read too, and
            returns the output that the layer goes on with.
    """

    rows: Tensor
    layers: Sequence[int]
    on_chunk: Callable[[Chunk], None] | None
    cuts: Mapping[int, Cut] = field(default_factory=dict)
    on_output: Callable[[int, Scores, Tensor, Tensor], Tensor] | None = None


_watched: WeakKeyDictionary[nn.Module, tuple[int, Watch]] = WeakKeyDictionary()
"""Attention modules under watch -> (layer, watch). Modules, not layer numbers: vision towers have those too."""


@contextmanager
def implementation(loaded: Loaded, name: str) -> Iterator[None]:
    """Gives the decoder another attention function inside the block; afterwards, however it ends, its own again."""
    # The modules around the decoder too, for some make its mask; not what stands beside it, as a vision tower does.
    around = (m for m in loaded.model.modules() if isinstance(m, PreTrainedModel) and _contains(m, loaded.decoder))
    configs = list({id(m.config): m.config for m in around}.values())
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            _set(config, name)
        yield
    finally:
        for config, old in zip(configs, before, strict=True):
            _set(config, old)


def _contains(module: nn.Module, part: nn.Module) -> bool:
    return any(m is part for m in module.modules())


def _set(config: PreTrainedConfig, name: str | None) -> None:
    # As a dictionary it goes to this configuration alone; as text it would go down to the vision tower's as well.
    config._attn_implementation = {"": name}


@contextmanager
def watch(loaded: Loaded, what: Watch) -> Iterator[None]:
    """Watches the decoder inside the block; afterwards, however it ends, the model is as before."""
    if any(module in _watched for module in loaded.attending.values()):
        raise RuntimeError("this model is being watched already")
    try:
        for layer, module in loaded.attending.items():
            _watched[module] = (layer, what)
        with implementation(loaded, NAME):
            yield
    finally:
        for module in loaded.attending.values():
            _watched.pop(module, None)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls: query [B H Q d], key and value [B Hkv K d] -> ([B Q H d], None)."""
    layer, what = _watched.get(module, (-1, None))
    scaling = scaling if scaling is not None else query.shape[-1] ** -0.5
    causal = query.shape[2] > 1 and (is_causal if is_causal is not None else getattr(module, "is_causal", True))
    mask = attention_mask[..., : key.shape[2]] if attention_mask is not None else None
    scores = Scores(query, key, mask, scaling, causal and mask is None, softcap)
    if what is not None:
        if len(query) != 1 or query.shape[2] != key.shape[2]:
            raise RuntimeError("a watched pass takes one whole sequence, without a key-value cache")
        if layer in what.cuts:
            scores.mask, scores.causal = _cut_mask(what.cuts[layer], scores), False
        if layer in what.layers and what.on_chunk is not None:
            _read(layer, what.rows, what.on_chunk, scores, value)
    if softcap is not None:
        output = _explicit(scores, value)
    else:
        output, _ = sdpa_attention_forward(
            module, query, key, value, scores.mask, dropout, scaling, is_causal=is_causal, **kwargs
        )
    if what is not None and what.on_output is not None:
        output = what.on_output(layer, scores, value, output)
    return output, None


class Scores:
    """Attention weights of chosen rows, from what the attention function was given.

    Attributes:
        query: [B H Q d]
        key: [B Hkv K d]
        mask: [B 1|H 1|Q K], True where a key is seen, or additive; None where `causal` says all.
        scaling: Factor of the scores.
        causal: Whether a row sees the keys up to its own alone; goes with no mask.
        softcap: Bound of the scores, or None.
    """

    def __init__(
        self, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float, causal: bool, softcap: float | None
    ) -> None:
        self.query, self.key, self.mask = query, key, mask
        self.scaling, self.causal, self.softcap = scaling, causal, softcap

    def reach(self, rows: Tensor) -> int:
        """How many leading keys hold all that these rows [R] can see."""
        keys = self.key.shape[2]
        if self.causal:
            return int(rows.max()) + 1
        if self.mask is None or self.mask.dtype != torch.bool:
            return keys
        seen = self.mask.expand(-1, -1, self.query.shape[2], -1)[:, :, rows].any(2).any(1).any(0).nonzero()
        return int(seen.max()) + 1 if len(seen) else keys

    def weights(self, rows: Tensor, keys: int | None = None) -> Tensor:
        """[B H R K] float32, sums to 1 over K; K may be cut down to what the rows reach."""
        b, h, _, d = self.query.shape
        groups = self.key.shape[1]
        seen = self.key[:, :, :keys].float()
        # Keys are shared by groups of query heads; float32, for half precision would round the scores.
        query = self.query[:, :, rows].float().reshape(b, groups, h // groups, len(rows), d)
        scores = (query @ seen[:, :, None].transpose(-1, -2)).reshape(b, h, len(rows), -1) * self.scaling
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.causal:
            scores = scores.masked_fill(torch.arange(scores.shape[-1], device=rows.device) > rows[:, None], -torch.inf)
        elif self.mask is not None:
            mask = self.mask.expand(-1, -1, self.query.shape[2], -1)[:, :, rows, :keys]
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.float()
        return scores.softmax(-1)


def _read(layer: int, asked: Tensor, on_chunk: Callable[[Chunk], None], scores: Scores, value: Tensor) -> None:
    heads, keys = scores.query.shape[1], scores.key.shape[2]
    norm = value[0].float().norm(dim=-1).repeat_interleave(heads // value.shape[1], 0)
    # Scores, weights and their product live at the same time.
    step = rows_per_chunk(3 * heads * keys * 4)
    for start in range(0, len(asked), step):
        rows = asked[start : start + step]
        on_chunk(Chunk(layer, start, scores.weights(rows)[0], norm))


def _cut_mask(cut: Cut, scores: Scores) -> Tensor:
    """The layer's own mask without the cut connections: [1 1 Q K] bool or additive, as the layer's own was."""
    n, device = scores.query.shape[2], scores.query.device
    hidden = cut.keys.to(device)[None].expand(n, n)
    if cut.queries is not None:
        hidden = hidden & cut.queries.to(device)[:, None]
    hidden = (hidden & ~torch.eye(n, dtype=torch.bool, device=device))[None, None]
    if scores.mask is None:
        own = torch.ones(n, n, dtype=torch.bool, device=device)
        return (own.tril() if scores.causal else own)[None, None] & ~hidden
    if scores.mask.dtype == torch.bool:
        return scores.mask & ~hidden
    return scores.mask.masked_fill(hidden, torch.finfo(scores.mask.dtype).min)


def _explicit(scores: Scores, value: Tensor) -> Tensor:
    """Attention output [B Q H d] by the formula, in chunks of rows: SDPA knows no soft cap on scores."""
    b, h, q, _ = scores.query.shape
    groups, keys = value.shape[1], value.shape[2]

    def some(rows: Tensor) -> Tensor:
        weights = scores.weights(rows).to(value.dtype).reshape(b, groups, h // groups, len(rows), keys)
        return (weights @ value[:, :, None]).reshape(b, h, len(rows), -1)

    step = rows_per_chunk(3 * b * h * keys * 4)
    chunks = torch.split(torch.arange(q, device=value.device), step)
    if torch.is_grad_enabled():
        # Chunks are for nothing if the weights of all wait for the backward pass: they are computed again there.
        parts = [checkpoint(some, rows, use_reentrant=False, preserve_rng_state=False) for rows in chunks]
    else:
        parts = [some(rows) for rows in chunks]
    return torch.cat(parts, 2).transpose(1, 2).contiguous()


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
