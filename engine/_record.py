"""One full pass that leaves behind what every shortened pass needs: how each layer was called, and with what.

The layers before a change are the full run's own. So one pass records the residual stream entering each layer, every
layer's keys and values, and the decoder's own call of each layer, which keeps all that follows independent of the
model's family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from ._calls import KeyValues, LayerCall, check_layers, check_places
from ._logits import head, run_model
from .inputs import Inputs
from .loaded import Loaded

Report = Callable[[int], None]

# Half-precision logits of a large model repeat to a few steps of their type, float32 ones much better.
HEAD_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HEAD_TOLERANCE_HALF = 5e-2


@dataclass(slots=True)
class Recording:
    """What one full pass over prompt and answer leaves behind. S tokens are of interest at each layer.

    Attributes:
        rows: Rows that predict the answer and, last, the row that may predict the end: [T+1].
        positions: Layer -> positions of interest there, ascending: [S].
        entering: Layer -> residual stream of these tokens entering it: [S d].
        calls: How each layer was called.
        caches: Keys and values of each layer, all N tokens.
        added: Layer -> what is added to the residual stream just before it, outside the layers: [N d], or absent.
        logits: The model's logits at `rows`: [T+1 vocab] float32.
        position_ids: What the decoder was called with, or None.
        returns_tuples: Whether a layer returns its residual stream inside a tuple.
    """

    rows: Tensor
    positions: dict[int, Tensor] = field(default_factory=dict)
    entering: dict[int, Tensor] = field(default_factory=dict)
    calls: list[LayerCall] = field(default_factory=list)
    caches: list[KeyValues] = field(default_factory=list)
    added: dict[int, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.empty(0))
    position_ids: Tensor | None = None
    returns_tuples: bool = False

    def changed_by(self, sources: Tensor) -> Tensor:
        """Which tokens can differ in some layer once `sources` [N] bool do: [N] bool, the sources included."""
        visible = self._visible()
        changed = sources.clone()
        while True:
            more = changed | visible[:, changed].any(1)
            if torch.equal(more, changed):
                return changed
            changed = more

    def _visible(self) -> Tensor:
        """[N N] bool: whether any layer lets the row see the key."""
        n, device = self.calls[0].length, self.rows.device
        visible = torch.zeros(n, n, dtype=torch.bool, device=device)
        everything = torch.arange(n, device=device)[None]
        seen: set[int] = set()
        for call in self.calls:
            mask = call.kwargs.get("attention_mask")
            if id(mask) in seen:
                continue
            seen.add(id(mask))
            allowed = call.allowed(everything, everything)
            if allowed is None:
                return torch.ones_like(visible).tril()
            if allowed.dtype != torch.bool:
                allowed = allowed > torch.finfo(allowed.dtype).min / 2
            visible |= allowed[0].any(0)
        return visible


def record(
    loaded: Loaded,
    inputs: Inputs,
    layers: Sequence[int],
    positions: Callable[[int], Tensor],
    report: Report,
) -> Recording:
    """Runs the full pass.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        layers: Layers to keep the entering residual stream of.
        positions: Layer -> positions of interest there; asked when that layer has run.
        report: Called with each layer's index before it runs.

    Raises:
        UnsupportedModelError: The decoder does more between its layers than could be repeated, or its layers cannot be
            called one by one.
    """
    check_layers(loaded)
    check_places(loaded, inputs.length + inputs.max_new_tokens)
    end = inputs.prompt_length + len(inputs.answer_ids)
    rows = torch.arange(inputs.prompt_length - 1, end, device=loaded.device)
    recording = Recording(rows)
    wanted = set(layers)
    entered: list[Tensor] = []
    previous: list[Tensor] = []
    ending: list[Tensor] = []
    is_image = torch.zeros(inputs.length, dtype=torch.bool, device=loaded.device)
    is_image[inputs.image_positions] = True

    def note_additions(hidden: Tensor, index: int) -> None:
        last = previous[0] if previous else hidden
        if last is hidden or torch.equal(last, hidden):
            return
        where = f"layer {index}" if index < len(loaded.layers) else "the final norm"
        # Image features added once more (DeepStack) are the same whatever else is cut. Anything else need not be.
        if index == len(loaded.layers) or not torch.equal(last[0, ~is_image], hidden[0, ~is_image]):
            raise UnsupportedModelError(
                f"The {loaded.info.family} decoder changes its text tokens before {where}, outside its layers.",
                "What happens between layers could not be repeated exactly, so truncation and knockout are refused.",
            )
        recording.added[index] = (hidden - last)[0]

    def enter(
        layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        index = len(recording.calls)
        report(index)
        hidden, call = LayerCall.of(layer, args, kwargs)
        note_additions(hidden, index)
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
        note_additions(args[0], len(loaded.layers))
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


def head_tolerance(loaded: Loaded) -> float:
    """Largest difference between logits of the same that come about in two ways, relative to the largest logit."""
    # Quantised weights may round what is multiplied with them: a last bit before is a whole step after.
    quantised = getattr(loaded.model.config, "quantization_config", None) is not None
    return HEAD_TOLERANCE_HALF if quantised else HEAD_TOLERANCE.get(loaded.dtype, HEAD_TOLERANCE_HALF)


def _check_head(loaded: Loaded, made: Tensor, real: Tensor) -> None:
    error = float((made - real).abs().max())
    if not error <= head_tolerance(loaded) * max(1.0, float(real.abs().max())):
        raise UnsupportedModelError(
            f"The {loaded.info.family} model's logits are not final norm and head alone (they differ by {error:.2g})."
        )
