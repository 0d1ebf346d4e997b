"""Reads off a model and a prompt what the memory formulas need, and how fast a pass is."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedConfig

from .inputs import Inputs
from .loaded import Loaded
from .results import GROUPS, ModelInfo
from .sizes import Sizes

USUAL_PATCH_PX = 14
USUAL_WIDTH = 1024
"""Of a vision tower whose configuration does not say."""

ALL_EXPERTS = {"llama4_text"}
"""Families that send every token through every expert, and keep those it is meant for."""


def sizes_of(loaded: Loaded, inputs: Inputs) -> Sizes:
    """The sizes of a model and a prepared prompt."""
    return sizes_of_prompt(
        loaded,
        inputs.model_inputs,
        inputs.prepared.tokens.group,
        len(inputs.answer_ids),
        inputs.max_new_tokens,
    )


def sizes_of_prompt(
    loaded: Loaded, model_inputs: Mapping[str, Tensor], group: NDArray[np.uint8], answer: int, max_new_tokens: int
) -> Sizes:
    """The sizes of a model and a prompt.

    Args:
        loaded: The model; its weights may be without storage.
        model_inputs: What the processor made.
        group: [N] groups of prompt and answer.
        answer: T.
        max_new_tokens: Longest answer that is decoded.
    """
    info, text = loaded.info, loaded.model.config.get_text_config(decoder=True)
    layers = [(layer, attention) for layer, attention in zip(loaded.layers, loaded.attentions, strict=True)]
    head_dims = [_whole(attention, "head_dim") for _, attention in layers if attention is not None]
    head_dim = max(head_dims, default=0) or info.d_model // info.heads
    users = np.flatnonzero(group == GROUPS.index("user"))
    # Where tokens have kinds, a prefix may be read in both directions: then a cut reaches all of it.
    first = 0 if "token_type_ids" in model_inputs or not len(users) else int(users[0])
    pixels = max((t for t in model_inputs.values() if t.is_floating_point()), key=Tensor.numel, default=torch.empty(0))
    return Sizes(
        layers=info.layers,
        d_model=info.d_model,
        heads=info.heads,
        kv_heads=info.kv_heads,
        head_dim=head_dim,
        vocab=int(loaded.model.get_input_embeddings().weight.shape[0]),
        d_ff=max(_d_ff(layer, attention, info.d_model, text) for layer, attention in layers),
        d_norm=max(_d_norm(layer, attention, info, head_dim) for layer, attention in layers),
        d_cache=max(_d_cache(attention, info.heads * head_dim, info.kv_heads * head_dim) for _, attention in layers),
        element_bytes=loaded.dtype.itemsize,
        tokens=len(group),
        answer=answer,
        image=int((group == GROUPS.index("image")).sum()),
        moving=len(group) - first,
        max_new_tokens=max_new_tokens,
        all_logits="logits_to_keep" not in inspect.signature(loaded.model.forward).parameters,
        masks=_masks(text, model_inputs),
        softcap=bool(getattr(text, "attn_logit_softcapping", None)),
        pixel_bytes=pixels.numel() * loaded.dtype.itemsize,
        **_vision(loaded.model.config, pixels.numel()),
    )


class Stopwatch:
    """Times the first forward pass of a model inside a block.

    Attributes:
        seconds_per_token: Of that pass; None where there was none of more than one token.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.seconds_per_token: float | None = None
        self._start: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        model = self.loaded.model
        self._hooks = (
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end),
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()

    def _begin(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if self.seconds_per_token is None and isinstance(ids, Tensor) and ids.shape[-1] > 1:
            self._start = self._now(), ids.shape[-1]

    def _end(self, *_: object) -> None:
        if self._start is not None:
            start, tokens = self._start
            self.seconds_per_token, self._start = (self._now() - start) / tokens, None

    def _now(self) -> float:
        if self.loaded.device.type == "cuda":
            torch.cuda.synchronize(self.loaded.device)
        return time.perf_counter()


def _d_ff(layer: nn.Module, attention: nn.Module | None, d_model: int, text: PreTrainedConfig) -> int:
    """Width of a layer's feed-forward block: what its last product, back to the stream, takes in."""
    inside = set() if attention is None else set(attention.modules())
    plain = [m.in_features for m in layer.modules() if isinstance(m, nn.Linear) and m not in inside]
    widest = max((n for n in plain if n != d_model), default=0)
    stacks = [p for name, p in layer.named_parameters() if p.ndim == 3 and name.rpartition(".")[2].startswith("down")]
    if not stacks:
        return widest or 4 * d_model
    experts, *sides = stacks[0].shape
    each = next((side for side in sides if side != d_model), d_model)
    chosen = _whole(text, "num_experts_per_tok") or _whole(text, "moe_k") or 1
    # Each token stands as often as it has experts.
    return widest + (experts if text.model_type in ALL_EXPERTS else chosen) * (each + d_model)


def _masks(text: PreTrainedConfig, model_inputs: Mapping[str, Tensor]) -> int:
    """Kinds of masks that a decoder makes of a prompt: for each kind of layer, and for tokens of several kinds."""
    kinds = set(getattr(text, "layer_types", None) or ())
    plain = not _whole(text, "sliding_window") and kinds <= {"full_attention"} and "token_type_ids" not in model_inputs
    return 0 if plain else max(1, len(kinds))


def _d_cache(attention: nn.Module | None, q: int, kv: int) -> int:
    """What a token's keys and values hold: a projection's whole outcome, where they are parts of it."""
    widest = 0 if attention is None else max((m.out_features for m in _linear(attention)), default=0)
    # The keys are turned, which makes them anew; the values stay what the projection made.
    return widest + kv if widest >= q + 2 * kv else 2 * kv


def _linear(module: nn.Module) -> list[nn.Linear]:
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def _d_norm(layer: nn.Module, attention: nn.Module | None, info: ModelInfo, head_dim: int) -> int:
    """Widths of what a layer makes in float32: its norms together; one of a head's width is over all heads."""
    # What mixes tokens without attention works in float32, on what its widest projection makes.
    width = 0 if attention is not None else 3 * max((m.out_features for m in _linear(layer)), default=0)
    for name, module in layer.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 1 and not any(True for _ in module.children()):
            heads = info.kv_heads if "k_" in name.rpartition(".")[2] else info.heads
            width += info.d_model if len(weight) != head_dim else heads * head_dim
    return width


def _vision(config: PreTrainedConfig, pixels: int) -> dict[str, int]:
    """The tower's sizes, as far as its configuration tells them."""
    tower = getattr(config, "vision_config", None)
    if tower is None or not pixels:
        return {}
    width = _whole(tower, "embed_dim") or _whole(tower, "hidden_size") or USUAL_WIDTH
    patch = _whole(tower, "patch_size") or USUAL_PATCH_PX
    channels = 3 * patch * patch * (_whole(tower, "temporal_patch_size") or 1)
    return {
        "patches": -(-pixels // channels),
        "vision_layers": _whole(tower, "num_hidden_layers") or _whole(tower, "depth") or 24,
        "d_vision": width,
        "d_vision_ff": _whole(tower, "intermediate_size") or 4 * width,
    }


def _whole(holder: Any, name: str) -> int:
    """A whole number that an object may name; of several, the largest; 0 where there is none."""
    value = None
    # Some configurations refuse to name what differs from layer to layer.
    with suppress(RuntimeError):
        value = getattr(holder, name, None)
    values = value if isinstance(value, list | tuple) else [value]
    return max((v for v in values if type(v) is int), default=0)
