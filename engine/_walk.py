"""The passes behind the truncation curve: one full pass that records, one walk that serves every K.

The layers before K are the full run's own, so one pass records the residual stream entering each layer; the walk then
goes through the layers once with a batch that grows: the row for K joins at layer K. Every call of a layer is the
decoder's own call, cut down to the tokens that remain, which keeps the walk independent of the model's family.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from ._calls import KeyValues, LayerCall, additive, call_layer, check_layers
from .inputs import Inputs
from .loaded import Loaded

Report = Callable[[int], None]

# Half-precision logits of a large model repeat to a few steps of their type, float32 ones much better.
HEAD_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HEAD_TOLERANCE_HALF = 5e-2


@dataclass(slots=True)
class Recording:
    """What one full pass over prompt and answer leaves behind. S tokens remain when the image is cut.

    Attributes:
        positions: K -> original positions of the remaining tokens, ascending: [S].
        entering: K -> residual stream of these tokens entering layer K: [S d].
        calls: How each layer was called.
        caches: Keys and values of each layer, all N tokens.
        rows: Rows that predict the answer and, last, the row that may predict the end: [T+1].
        logits: The model's logits at `rows`: [T+1 vocab] float32.
        position_ids: What the decoder was called with, or None.
        returns_tuples: Whether a layer returns its residual stream inside a tuple.
    """

    rows: Tensor
    positions: dict[int, Tensor] = field(default_factory=dict)
    entering: dict[int, Tensor] = field(default_factory=dict)
    calls: list[LayerCall] = field(default_factory=list)
    caches: list[KeyValues] = field(default_factory=list)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    position_ids: Tensor | None = None
    returns_tuples: bool = False


def record(
    loaded: Loaded,
    inputs: Inputs,
    ks: Sequence[int],
    positions: Callable[[int], Tensor],
    compare: Tensor,
    report: Report,
) -> Recording:
    """Runs the full pass.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        ks: The K to record for, below L.
        positions: K -> positions of the remaining tokens; asked when layer K has run.
        compare: Positions of every token that may remain: nothing but layers may change these.
        report: Called with each layer's index before it runs.

    Raises:
        UnsupportedModelError: The decoder does more between its layers than the walk could repeat.
    """
    check_layers(loaded)
    end = inputs.prompt_length + len(inputs.answer_ids)
    rows = torch.arange(inputs.prompt_length - 1, end, device=loaded.device)
    recording = Recording(rows)
    wanted = set(ks)
    entered: list[Tensor] = []
    previous: list[Tensor] = []
    ending: list[Tensor] = []

    def same_as_before(hidden: Tensor, where: str) -> None:
        last = previous[0] if previous else hidden
        if last is not hidden and not torch.equal(last[0, compare], hidden[0, compare]):
            raise UnsupportedModelError(
                f"The {loaded.info.family} decoder changes the remaining tokens before {where}, outside its layers.",
                "Use the strategy all, or another model.",
            )

    def enter(
        layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        index = len(recording.calls)
        report(index)
        hidden, call = LayerCall.of(layer, args, kwargs)
        same_as_before(hidden, f"layer {index}")
        entered[:] = [hidden]
        recording.calls.append(call)
        recording.caches.append(KeyValues())
        return (hidden,), {**call.kwargs, "past_key_values": recording.caches[-1]}

    def leave(_: nn.Module, __: object, output: Any) -> None:
        index = len(recording.calls) - 1
        if index in wanted:
            recording.positions[index] = positions(index)
            recording.entering[index] = entered[0][0, recording.positions[index]]
        recording.returns_tuples = not isinstance(output, Tensor)
        previous[:] = [output[0] if recording.returns_tuples else output]

    def finish(_: nn.Module, args: tuple[Any, ...]) -> None:
        same_as_before(args[0], "the final norm")
        ending.append(args[0][0, rows])

    def decode(_: nn.Module, __: object, kwargs: dict[str, Any]) -> None:
        recording.position_ids = kwargs.get("position_ids")

    with ExitStack() as hooks:
        for layer in loaded.layers:
            hooks.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
            hooks.callback(layer.register_forward_hook(leave).remove)
        hooks.callback(loaded.final_norm.register_forward_pre_hook(finish).remove)
        hooks.callback(loaded.decoder.register_forward_pre_hook(decode, with_kwargs=True).remove)
        real = run_model(loaded, inputs.model_inputs, rows)
    recording.logits = head(loaded, ending[0])
    _check_head(loaded, recording.logits, real)
    return recording


def run_model(loaded: Loaded, model_inputs: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """One forward call of the model: its own logits at `rows` [R], [R vocab] float32."""
    if "logits_to_keep" in inspect.signature(loaded.model.forward).parameters:
        # Not all N rows: their logits can be larger than everything else in the pass.
        logits: Tensor = loaded.model(**model_inputs, use_cache=False, logits_to_keep=rows).logits[0]
    else:
        logits = loaded.model(**model_inputs, use_cache=False).logits[0, rows]
    return at_least_float32(logits)


def head(loaded: Loaded, hidden: Tensor) -> Tensor:
    """Residual stream after the last layer [... d] -> logits [... vocab] in float32."""
    return at_least_float32(loaded.head(hidden))


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32; float64, where a model is loaded in it, stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check_head(loaded: Loaded, made: Tensor, real: Tensor) -> None:
    tolerance = HEAD_TOLERANCE.get(loaded.dtype, HEAD_TOLERANCE_HALF)
    error = float((made - real).abs().max())
    if not error <= tolerance * max(1.0, float(real.abs().max())):
        raise UnsupportedModelError(
            f"The {loaded.info.family} model's logits are not final norm and head alone (they differ by {error:.2g})."
        )


@dataclass(slots=True)
class Walk:
    """The walk's outcome for its K, ascending.

    Attributes:
        ks: The K of the batch's rows.
        positions: Original positions of the remaining tokens: [1|B S].
        hidden: Residual stream after the last layer: [B S d].
        caches: Layer -> keys and values of the rows with K <= layer: [rows kv_heads S head_dim].
    """

    ks: list[int]
    positions: Tensor
    hidden: Tensor
    caches: dict[int, KeyValues]

    def rows(self, index: int, rows: Tensor) -> Tensor:
        """The residual stream of one K at original positions `rows` [R]: [R d]."""
        positions = self.positions[index if len(self.positions) > 1 else 0]
        return self.hidden[index, torch.searchsorted(positions, rows)]


def walk(loaded: Loaded, recording: Recording, ks: Sequence[int], report: Report) -> Walk:
    """Walks the layers once for all of `ks` (ascending, below L)."""
    stacked = torch.stack([recording.positions[k] for k in ks])
    shared = bool((stacked == stacked[0]).all())
    stacked = stacked[:1] if shared else stacked
    hidden = recording.entering[ks[0]].new_empty((0, *recording.entering[ks[0]].shape))
    caches: dict[int, KeyValues] = {}
    joined = 0
    for index in range(ks[0], len(loaded.layers)):
        report(index)
        if joined < len(ks) and ks[joined] == index:
            hidden = torch.cat([hidden, recording.entering[index][None]])
            joined += 1
        positions = stacked if shared else stacked[:joined]
        call, cache = recording.calls[index], KeyValues()
        kwargs = call.at(positions)
        mask = call.allowed(positions, positions)
        # Without a mask it is causal by order, and the remaining tokens keep theirs.
        kwargs["attention_mask"] = None if mask is None else additive(mask, hidden.dtype)
        hidden = call_layer(loaded.layers[index], hidden, kwargs, cache)
        caches[index] = cache
    return Walk(list(ks), stacked, hidden, caches)
