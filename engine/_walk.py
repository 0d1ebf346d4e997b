"""One walk through the layers for many changed runs at once, next to the full run that did not change.

Each changed run is a lane: it leaves the full run at some layer, and from there on some tokens differ. Only those are
computed; what they see of the others are the full run's own keys and values. The lanes form a batch that grows from
layer to layer, so that a layer's weights are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._calls import KeyValues, LayerCall, additive, call_layer
from ._logits import head
from ._record import Recording, Report
from .budget import LOGITS, rows_per_chunk
from .loaded import Loaded

Hide = Callable[[int, int], Tensor | None]
"""(layer, lanes so far) -> [lanes S C+S] bool, connections that are cut on top of the layer's own mask, or None."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One changed run.

    Attributes:
        start: First layer that differs.
        positions: Original positions of the tokens that differ from there on, ascending: [S].
        entering: Residual stream of these tokens entering that layer: [S d].
    """

    start: int
    positions: Tensor
    entering: Tensor


@dataclass(slots=True)
class Walk:
    """The walk's outcome.

    Attributes:
        starts: First differing layer of each lane, ascending.
        positions: Original positions of the lanes' tokens: [1|B S].
        fixed: Positions that all lanes see as the full run has them: [C].
        hidden: Residual stream after the last layer: [B S d].
        caches: Layer -> keys and values of the lanes that have started there: [lanes kv_heads S head_dim].
    """

    starts: list[int]
    positions: Tensor
    fixed: Tensor
    hidden: Tensor
    caches: dict[int, KeyValues]

    def rows(self, lane: int, rows: Tensor) -> Tensor:
        """The residual stream of one lane at original positions `rows` [R]: [R d]."""
        positions = self.positions[lane if len(self.positions) > 1 else 0]
        return self.hidden[lane, torch.searchsorted(positions, rows)]

    def logits(self, loaded: Loaded, rows: Tensor, vocabulary: int) -> Iterator[Tensor]:
        """Each lane's logits at original positions `rows` [R], lane by lane: [R vocab] float32.

        They are made for several lanes at once: the head can be larger than many layers, and is read once for them.
        """
        lanes = range(len(self.hidden))
        step = rows_per_chunk(LOGITS * len(rows) * vocabulary * 4)
        for some in (lanes[start : start + step] for start in range(0, len(lanes), step)):
            yield from head(loaded, torch.stack([self.rows(lane, rows) for lane in some]))


def walk(
    loaded: Loaded,
    recording: Recording,
    lanes: Sequence[Lane],
    fixed: Tensor,
    report: Report,
    *,
    hide: Hide | None = None,
    keep: bool = False,
) -> Walk:
    """Walks the layers once for all lanes.

    Args:
        loaded: The model.
        recording: The full pass.
        lanes: Ascending in their start, each with as many tokens.
        fixed: Positions that the lanes' tokens see as the full run has them: [C]. All others but a lane's own do not
            exist for it.
        report: Called with each layer's index before it runs.
        hide: Further connections to cut.
        keep: Whether the lanes' keys and values are kept, for decoding.
    """
    stacked = torch.stack([lane.positions for lane in lanes])
    shared = bool((stacked == stacked[0]).all())
    stacked = stacked[:1] if shared else stacked
    hidden = lanes[0].entering.new_empty((0, *lanes[0].entering.shape))
    caches: dict[int, KeyValues] = {}
    masks = _Masks(fixed)
    for index in range(lanes[0].start, len(loaded.layers)):
        report(index)
        if index in recording.added and len(hidden):
            # Joined lanes missed it; a lane that joins here entered after it.
            hidden = hidden + recording.added[index][stacked if shared else stacked[: len(hidden)]]
        joining = [lane.entering for lane in lanes[len(hidden) :] if lane.start == index]
        if joining:
            hidden = torch.cat([hidden, torch.stack(joining)])
        positions = stacked if shared else stacked[: len(hidden)]
        call, cache = recording.calls[index], KeyValues(_past(recording, index, fixed, len(hidden)))
        kwargs = call.at(positions)
        kwargs["attention_mask"] = masks.of(call, positions, None if hide is None else hide(index, len(hidden)), hidden)
        hidden = call_layer(loaded.layers[index], hidden, kwargs, cache)
        if keep:
            caches[index] = cache
    return Walk([lane.start for lane in lanes], stacked, fixed, hidden, caches)


def _past(recording: Recording, index: int, fixed: Tensor, lanes: int) -> tuple[Tensor, Tensor] | None:
    """The full run's keys and values at the fixed positions, for every lane."""
    if not len(fixed):
        return None
    keys, values = recording.caches[index].stored()
    return keys[:, :, fixed].expand(lanes, -1, -1, -1), values[:, :, fixed].expand(lanes, -1, -1, -1)


class _Masks:
    """The layers' masks over fixed and own tokens; most layers share one, which is then made once."""

    def __init__(self, fixed: Tensor) -> None:
        self.fixed = fixed
        self.last: tuple[object, int, Tensor] | None = None

    def of(self, call: LayerCall, positions: Tensor, hidden_ones: Tensor | None, like: Tensor) -> Tensor | None:
        """[1|B 1|H S C+S] additive; None where plain causal order says it all. `positions`: [1|B S]."""
        own = call.kwargs.get("attention_mask")
        if own is None and hidden_ones is None and not len(self.fixed):
            # Without a mask it is causal by order, and the remaining tokens keep theirs.
            return None
        if self.last is not None and self.last[0] is own and self.last[1] == len(positions):
            mask = self.last[2]
        else:
            keys = torch.cat([self.fixed.expand(len(positions), -1), positions], 1)
            allowed = call.allowed(positions, keys)
            if allowed is None:
                allowed = (keys[:, None, :] <= positions[:, :, None])[:, None]
            mask = additive(allowed, like.dtype)
            self.last = (own, len(positions), mask)
        if hidden_ones is not None:
            mask = mask.masked_fill(hidden_ones[:, None], torch.finfo(mask.dtype).min)
        return mask
