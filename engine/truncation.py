"""What the answer becomes when the image is cut after K layers, exactly, for every K at once.

Source: the paper's Eq. 9-13, Figure 5 and Table 1. Departures: tokens keep their original positions; the whole curve
comes from one full pass and one walk (docs/method.md), with logits equal to really dropping the tokens at each K.

What remains from layer K on, besides all text tokens:
- all: no image token (the paper's).
- top-r: the r image tokens with the highest head-mean attention from the last prompt row at layer K-1 of the full
  model. K = 0 has no layer before it and is ranked by layer 0's own attention, so that r = n is the full model at
  every K.
- random-r: one seeded draw of r image tokens, the same for every K, so that the curve shows K and not the draw.

Greedy text: an answer that the model decoded is compared token by token, its end included. For an answer that the user
gave, "same" means that greedy decoding at K gives what greedy decoding of the full model gives, and the text is that
greedy text: log-probabilities and KL are the given answer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from flowtui.errors import UsageError

from ._decode import decode, finished
from ._drop import decode_dropped, dropped_logits, is_hybrid
from ._kept import Kept
from ._logits import run_model
from ._record import Recording, record
from ._reference import Reference
from ._share import follow, shared_length
from ._walk import Lane, walk
from .budget import WALK_CHUNKS, rows_per_chunk
from .inputs import Inputs
from .loaded import Loaded
from .results import LayerResult
from .spec import TruncationParameters

ANALYSIS = "truncation"


@torch.no_grad()
def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: TruncationParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the truncation curve; arrays as in `flowtui.engine.results`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: What remains beyond K.
        layers: The K wanted, 0..L.
        on_layer: Gets each K's result, in ascending order.
        check: Called with (layer, fraction done) before each layer that runs; may raise to cancel.

    Raises:
        UsageError: A K out of range, an impossible r, or a prompt that ends in an image token.
        UnsupportedModelError: The decoder cannot be taken apart layer by layer.
    """
    curve = _Curve(loaded, parameters, layers)
    if curve.ks:
        curve.draw(inputs, None, on_layer, check)


@torch.no_grad()
def run_many(
    loaded: Loaded,
    many: Sequence[Inputs],
    parameters: TruncationParameters,
    layers: Sequence[int],
    on_layer: Callable[[int, LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """`run` for several questions; those that begin alike, image included, run what they share once.

    Args:
        loaded: The model.
        many: One prompt and answer per question.
        parameters: What remains beyond K. Only with the strategy "all" is work shared.
        layers: The K wanted, 0..L.
        on_layer: Gets (index of the question, its result), question by question.
        check: As in `run`, the fraction over all questions.

    Raises:
        UsageError, UnsupportedModelError: As `run`.
    """
    sharing = Sharing(loaded, parameters, layers)
    for i, inputs in enumerate(many):

        def deliver(result: LayerResult, i: int = i) -> None:
            on_layer(i, result)

        def part(layer: int, fraction: float, i: int = i) -> None:
            check(layer, (i + fraction) / len(many))

        sharing.draw(inputs, deliver, part)


class Sharing:
    """Curves of one question after the other; those that begin alike, image included, run what they share once.

    What is computed for a question depends on those before it that it begins like, and on nothing else: with
    `pass_over` in the place of `draw` for some of them, the others' results are the same to the last bit.
    """

    def __init__(self, loaded: Loaded, parameters: TruncationParameters, layers: Sequence[int]) -> None:
        """Arguments and errors as for `run`; only with the strategy "all" is work shared."""
        self._curve = _Curve(loaded, parameters, layers)
        self._first: tuple[Inputs, Recording] | None = None

    @torch.no_grad()
    def draw(
        self, inputs: Inputs, on_layer: Callable[[LayerResult], None], check: Callable[[int, float], None]
    ) -> None:
        """One question's curve; arguments and errors as for `run`."""
        if not self._curve.ks:
            return
        recording = self._curve.draw(inputs, self._first, on_layer, check)
        if recording is not None and self._is_new(inputs):
            self._first = inputs, recording

    @torch.no_grad()
    def pass_over(self, inputs: Inputs, check: Callable[[int, float], None]) -> None:
        """Takes a question whose curve is there already: what others may share of it is run, and nothing else."""
        if self._is_new(inputs) and not is_hybrid(self._curve.loaded):
            self._first = inputs, self._curve.pass_whole(inputs, check)

    def _is_new(self, inputs: Inputs) -> bool:
        """Whether what follows should begin like this question and no earlier one."""
        if self._curve.parameters.strategy != "all":
            return False
        return self._first is None or shared_length(self._first[0], inputs) is None


class _Curve:
    """The curves of one or more questions, with the same K and parameters."""

    def __init__(self, loaded: Loaded, parameters: TruncationParameters, layers: Sequence[int]) -> None:
        self.loaded, self.parameters = loaded, parameters
        self.count = len(loaded.layers)
        self.ks = sorted(set(layers))
        if self.ks and (self.ks[0] < 0 or self.ks[-1] > self.count):
            raise UsageError(f"K runs from 0 to {self.count} here, not {self.ks[0]} to {self.ks[-1]}.")

    def draw(
        self,
        inputs: Inputs,
        first: tuple[Inputs, Recording] | None,
        on_layer: Callable[[LayerResult], None],
        check: Callable[[int, float], None],
    ) -> Recording | None:
        """One question's curve; returns its full pass, where others can use it.

        Args:
            inputs: Prompt and answer.
            first: An earlier question that may begin alike, and its full pass.
            on_layer, check: As in `run`.
        """
        loaded, kept = self.loaded, Kept(self.loaded, inputs, self.parameters)
        below = [k for k in self.ks if k < self.count]
        if is_hybrid(loaded):
            self._draw_slowly(inputs, kept, below, on_layer, check)
            return None
        chunks = list(_chunks(loaded, below, kept.size))
        progress = _Progress(check, self.count, chunks)
        recording = None if first is None else follow(loaded, inputs, *first, progress.layer)
        if recording is None:
            with kept.watching(below):
                recording = record(loaded, inputs, below, kept.positions, progress.layer)
        full = Reference(loaded, inputs, recording.logits)
        fixed = kept.unmoved(recording)
        for chunk in chunks:
            walked = walk(
                loaded, recording, [_lane(recording, k, fixed) for k in chunk], fixed, progress.layer, keep=True
            )
            logits = walked.logits(loaded, recording.rows, recording.logits.shape[-1])
            rows = [full.compare(k, lane) for k, lane in zip(chunk, logits, strict=True)]
            # The full model's own greedy answer, where it is still to be found, is one more row of the first batch.
            branches = [full.branch, *(row.branch for row in rows)]
            decode(loaded, inputs, recording, walked, branches, progress.decoding(chunk[-1]))
            for row in rows:
                on_layer(full.result(row))
        if self.count in self.ks:
            decode(loaded, inputs, recording, None, [full.branch], progress.decoding(self.count))
            on_layer(full.result(full.itself()))
        return recording

    def pass_whole(self, inputs: Inputs, check: Callable[[int, float], None]) -> Recording:
        """One question's full pass alone, just as `draw` begins with it."""
        kept = Kept(self.loaded, inputs, self.parameters)
        below = [k for k in self.ks if k < self.count]
        with kept.watching(below):
            return record(self.loaded, inputs, below, kept.positions, _Progress(check, self.count, ()).layer)

    def _draw_slowly(
        self,
        inputs: Inputs,
        kept: Kept,
        below: list[int],
        on_layer: Callable[[LayerResult], None],
        check: Callable[[int, float], None],
    ) -> None:
        """The curve of a decoder with layers that have no attention: a pass for every K and every token decoded."""
        loaded = self.loaded
        rows = torch.arange(inputs.prompt_length - 1, inputs.length, device=loaded.device)
        check(0, 0.0)
        with kept.watching(below):
            full = Reference(loaded, inputs, run_model(loaded, inputs.model_inputs, rows))
        for done, k in enumerate(self.ks):

            def part(fraction: float, done: int = done, k: int = k) -> None:
                check(k, (done + fraction) / len(self.ks))

            part(0.0)
            if k < self.count:
                positions = kept.positions(k)
                row = full.compare(k, dropped_logits(loaded, inputs.model_inputs, k, positions, rows))
            else:
                positions, row = torch.arange(inputs.length, device=loaded.device), full.itself()
            for branch in (full.branch, row.branch):
                if not finished(branch, inputs.max_new_tokens):
                    # The full model's own greedy answer, where it is still to be found, comes with the first K.
                    stay = positions if branch is row.branch else torch.arange(inputs.length, device=loaded.device)
                    stay = stay[stay < inputs.prompt_length]
                    branch.ids[:], branch.stopped = decode_dropped(loaded, inputs, branch.k, stay, branch.ids, part)
            on_layer(full.result(row))


def _chunks(loaded: Loaded, ks: list[int], size: int) -> Iterator[list[int]]:
    """Groups of K that share one walk, within the memory that may be taken; `size` tokens remain for each."""
    info, element = loaded.info, torch.finfo(loaded.dtype).bits // 8
    cached = 2 * info.layers * info.d_model * info.kv_heads // info.heads
    row_bytes = size * element * (cached + 16 * info.d_model)
    step = rows_per_chunk(row_bytes // WALK_CHUNKS)
    for start in range(0, len(ks), step):
        yield ks[start : start + step]


def _lane(recording: Recording, k: int, fixed: Tensor) -> Lane:
    """The run that is cut at K: what differs from the full run."""
    moves = ~torch.isin(recording.positions[k], fixed)
    return Lane(k, recording.positions[k][moves], recording.entering[k][moves])


class _Progress:
    """Turns steps of very different kinds into one rising fraction, by the layers that each runs through."""

    def __init__(self, check: Callable[[int, float], None], count: int, chunks: Sequence[Sequence[int]]) -> None:
        self.check, self.count, self.done = check, count, 0.0
        # Decoding, where there is any, is taken to be worth one more pass.
        self.total = 2 * count + sum(2 * count - chunk[0] for chunk in chunks)

    def layer(self, index: int) -> None:
        self.check(index, min(1.0, self.done / self.total))
        self.done += 1

    def decoding(self, k: int) -> Callable[[float], None]:
        start = self.done
        self.done += self.count
        return lambda fraction: self.check(k, min(1.0, (start + fraction * self.count) / self.total))
