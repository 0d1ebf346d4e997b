"""Which map deserves trust: what happens to the answer when the image goes, or comes, in the map's order.

Source: Petsiuk et al. 2018, "RISE" (insertion and deletion). Departure: what is removed is an image token of the
decoder's sequence, not a patch of pixels: every cell of a map is one such token in every model family, nothing has to
be painted in its place, and the positions of the rest stay as they are. At every point of every curve the decoder runs
again from its first layer with the tokens that are left; all maps of all layers go through it as one batch.

A good map loses the answer early when its hottest tokens are removed first (small area under the deletion curve), and
finds it early when they come first (large area under the insertion curve). The mean over random orders is the measure:
a map that is no better says nothing about where the answer comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from flowtui.errors import UsageError

from . import attention, cam, saliency
from ._drop import dropped_logits, is_hybrid
from ._logits import at_least_float32
from ._record import Recording, record
from ._walk import Lane, walk
from .budget import WALK_CHUNKS, rows_per_chunk
from .inputs import Inputs
from .loaded import Loaded
from .results import LayerResult
from .shapes import MAPS
from .spec import AttentionParameters, CamParameters, FaithfulnessParameters, SaliencyParameters

ANALYSIS = "faithfulness"

MAPS_PART = 0.2
"""Share of the progress bar that making the maps takes."""


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: FaithfulnessParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the curves of all maps; arrays as in `flowtui.engine.shapes`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: Points of a curve and random orders.
        layers: Layers whose maps are wanted.
        on_layer: Gets each layer's result, in ascending order, once all curves are done.
        check: Called with (layer, fraction done) between units of work; may raise to cancel.

    Raises:
        UsageError: A layer out of range.
        UnsupportedModelError: The decoder cannot be taken apart layer by layer, or has no site for the CAM.
    """
    wanted = sorted(set(layers))
    if not wanted:
        return
    if wanted[0] < 0 or wanted[-1] >= len(loaded.layers):
        raise UsageError(f"Layers run from 0 to {len(loaded.layers) - 1} here, not {wanted[0]} to {wanted[-1]}.")
    maps = _maps(loaded, inputs, parameters, wanted, check)
    n, device = len(inputs.image_positions), loaded.device
    generator = torch.Generator().manual_seed(parameters.seed)
    drawn = [torch.randperm(n, generator=generator) for _ in range(parameters.orders)]
    # Of equal cells the first in reading order is the hotter one.
    order = maps.flatten(0, 1).argsort(dim=-1, descending=True, stable=True)
    orders = torch.cat([order, torch.stack(drawn)]).to(device)
    counts = [round(step * n / parameters.steps) for step in range(parameters.steps + 1)]

    def part(fraction: float) -> None:
        check(wanted[-1], MAPS_PART + (1 - MAPS_PART) * fraction)

    removed, added = _curves(loaded, inputs, orders, counts, part)
    split = len(MAPS) * len(wanted)
    fraction = torch.tensor([count / n for count in counts])
    for i, layer in enumerate(wanted):
        # [layer map] flattened, then the random orders.
        rows = slice(i * len(MAPS), (i + 1) * len(MAPS))
        arrays = {
            "deletion": torch.cat([removed[rows], removed[split:].mean(0, keepdim=True)]).numpy(),
            "insertion": torch.cat([added[rows], added[split:].mean(0, keepdim=True)]).numpy(),
            "fraction": fraction.numpy(),
            "ranked": (maps[i] > 0).any(-1).numpy(),
        }
        on_layer(LayerResult(ANALYSIS, layer, arrays))


def _maps(
    loaded: Loaded,
    inputs: Inputs,
    parameters: FaithfulnessParameters,
    wanted: list[int],
    check: Callable[[int, float], None],
) -> Tensor:
    """The maps of each layer, all answer tokens together: [layers MAPS n] float32."""
    found = torch.zeros(len(wanted), len(MAPS), len(inputs.image_positions))

    def take(index: int, array: str) -> Callable[[LayerResult], None]:
        def on_layer(result: LayerResult) -> None:
            values = torch.as_tensor(result.arrays[array])
            # The CAM's first row is all answer tokens together; of the others the mean over answer rows is.
            found[wanted.index(result.layer), index] = values[0] if array == "heat" else values.mean(0)

        return on_layer

    def part(index: int) -> Callable[[int, float], None]:
        return lambda layer, fraction: check(layer, MAPS_PART * (index + fraction) / len(MAPS))

    one_map = CamParameters(site=parameters.site, per_token=False)
    cam.run(loaded, inputs, one_map, wanted, take(0, "heat"), part(0))
    attention.run(loaded, inputs, AttentionParameters(), wanted, take(1, "image_rows"), part(1))
    saliency.run(loaded, inputs, SaliencyParameters(), wanted, take(2, "image_rows"), part(2))
    return found


@torch.no_grad()
def _curves(
    loaded: Loaded, inputs: Inputs, orders: Tensor, counts: Sequence[int], report: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """Probability of the answer with the first `counts` of each order [O n] removed, or alone there: [O S] each."""
    everything = torch.arange(inputs.length, device=loaded.device)
    if is_hybrid(loaded):
        return _curves_slowly(loaded, inputs, orders, counts, report)
    recording = record(loaded, inputs, [0], lambda _: everything, lambda _: None)
    n, image = orders.shape[1], inputs.image_positions
    changed = torch.zeros(inputs.length, dtype=torch.bool, device=loaded.device)
    changed[image] = True
    fixed = (~recording.changed_by(changed)).nonzero()[:, 0]
    text = everything[~torch.isin(everything, torch.cat([image, fixed]))]
    removed = torch.zeros(len(orders), len(counts))
    added = torch.zeros(len(orders), len(counts))
    scene = _Scene(loaded, inputs, recording, text, fixed)
    untouched = _probability(inputs, recording.logits[:-1])
    jobs = [(orders[:, count:], removed[:, s]) for s, count in enumerate(counts)]
    jobs += [(orders[:, :count], added[:, s]) for s, count in enumerate(counts)]
    for done, (kept, target) in enumerate(jobs):
        if kept.shape[1] == n:
            target[:] = untouched
            continue
        # Without any image token all orders are alike.
        some = kept if kept.shape[1] else kept[:1]
        part = partial(report, done / len(jobs))
        values = [p for batch in scene.batches(some) for p in scene.answers(batch, part)]
        target[:] = torch.tensor(values)
    return removed, added


def _curves_slowly(
    loaded: Loaded, inputs: Inputs, orders: Tensor, counts: Sequence[int], report: Callable[[float], None]
) -> tuple[Tensor, Tensor]:
    """The same for a decoder with layers that have no attention: a whole pass for every point of every curve."""
    everything = torch.arange(inputs.length, device=loaded.device)
    text = everything[~torch.isin(everything, inputs.image_positions)]
    curves = torch.zeros(2, len(orders), len(counts))
    for index, order in enumerate(orders):
        for step, count in enumerate(counts):
            report((index + step / len(counts)) / len(orders))
            for way, some in enumerate((order[count:], order[:count])):
                kept = torch.cat([text, inputs.image_positions[some]]).sort().values
                logits = dropped_logits(loaded, inputs.model_inputs, 0, kept, inputs.answer_rows)
                curves[way, index, step] = _probability(inputs, logits)
    return curves[0], curves[1]


@dataclass(frozen=True, slots=True)
class _Scene:
    """The prompt whose image tokens come and go.

    Attributes:
        text: Positions of the text that can change with the image: [X].
        fixed: Positions of the text that cannot: [C].
    """

    loaded: Loaded
    inputs: Inputs
    recording: Recording
    text: Tensor
    fixed: Tensor

    def batches(self, kept: Tensor) -> Iterator[Tensor]:
        """Cuts orders [O m] into parts that fit into the memory that may be taken."""
        info, element = self.loaded.info, torch.finfo(self.loaded.dtype).bits // 8
        own = kept.shape[1] + len(self.text)
        keys_values = 2 * (own + len(self.fixed)) * info.d_model * info.kv_heads // info.heads
        step = rows_per_chunk(element * (keys_values + 16 * own * info.d_model) // WALK_CHUNKS)
        yield from torch.split(kept, step)

    def answers(self, kept: Tensor, report: Callable[[], None]) -> list[float]:
        """Probability of the answer with only these image tokens (indices among them, [B m]), for each row."""
        entering = self.recording.entering[0]
        lanes = []
        for row in kept:
            positions = torch.cat([self.inputs.image_positions[row], self.text]).sort().values
            lanes.append(Lane(0, positions, entering[positions]))
        walked = walk(self.loaded, self.recording, lanes, self.fixed, lambda _: report())
        logits = walked.logits(self.loaded, self.inputs.answer_rows, self.recording.logits.shape[-1])
        return [_probability(self.inputs, lane) for lane in logits]


def _probability(inputs: Inputs, logits: Tensor) -> float:
    """[T vocab] -> the answer's probability, geometric mean over its tokens."""
    logs = at_least_float32(logits).log_softmax(-1).gather(-1, inputs.answer_ids[:, None])
    return float(logs.mean().exp())
