"""Attention knockout: what the answer loses when tokens of one kind can no longer look at those of another.

Source: Geva et al. 2023, "Dissecting Recall of Factual Associations" (sliding windows of layers); for images Zhang et
al. 2025, "Cross-modal Information Flow in Multimodal Large Language Models". An edge is cut in `window` layers at
once, centred on the layer of the result, and the change of the answer's log-probability says how much flows there.

The query side of an edge: `answer` is the answer rows, each of which predicts an answer token; `user` is the user's
tokens without the answer rows. The key side goes by position. A position always keeps the connection to itself.

All windows of an edge are lanes of one walk (docs/method.md, Truncation): they leave the full run where their window
begins, and only tokens that the cut can reach are computed again. That a cut edge carries exactly no attention is
proved in each run, on one window, by a whole pass with the same cut, whose weights are read and whose logits compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flowtui.errors import UnsupportedModelError, UsageError

from ._drop import is_hybrid
from ._logits import at_least_float32, run_model
from ._record import Recording, head_tolerance, record
from ._walk import Lane, walk
from .budget import WALK_CHUNKS, rows_per_chunk
from .inputs import Inputs
from .loaded import Loaded
from .results import GROUPS, LayerResult
from .rows import Chunk, Cut, Watch, watch
from .shapes import EDGES
from .spec import KnockoutParameters

ANALYSIS = "knockout"


@dataclass(frozen=True, slots=True)
class Edge:
    """One kind of connection.

    Attributes:
        name: As in `EDGES`.
        keys: [N] bool.
        queries: [N] bool.
    """

    name: str
    keys: Tensor
    queries: Tensor

    @property
    def empty(self) -> bool:
        """Whether there is nothing to cut."""
        return not (bool(self.keys.any()) and bool(self.queries.any()))


@torch.no_grad()
def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: KnockoutParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the knockout of all edges; arrays as in `flowtui.engine.shapes`.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        parameters: How many layers are cut at once.
        layers: Centres of the windows wanted.
        on_layer: Gets each centre's result, in ascending order, once all edges are done.
        check: Called with (layer, fraction done) before each layer that runs; may raise to cancel.

    Raises:
        UsageError: A layer out of range.
        UnsupportedModelError: The decoder cannot be taken apart layer by layer, or the self-test of the cut fails.
    """
    wanted = sorted(set(layers))
    if not wanted:
        return
    count = len(loaded.layers)
    if wanted[0] < 0 or wanted[-1] >= count:
        raise UsageError(f"Layers run from 0 to {count - 1} here, not {wanted[0]} to {wanted[-1]}.")
    windows = {layer: window_of(layer, parameters.window, count) for layer in wanted}
    edges = find_edges(inputs)
    done, steps = 0, count * (2 + len(edges))

    def report(index: int) -> None:
        nonlocal done
        check(index, min(1.0, done / steps))
        done += 1

    if is_hybrid(loaded):
        _run_slowly(loaded, inputs, edges, windows, on_layer, check)
        return
    everything = torch.arange(inputs.length, device=loaded.device)
    starts = sorted({window.start for window in windows.values()})
    recording = record(loaded, inputs, starts, lambda _: everything, report)
    base = _logprob(inputs, recording.logits[:-1])
    cut: dict[str, dict[int, Tensor]] = {}
    for edge in edges:
        # Without a connection to cut the model is untouched.
        found = None if edge.empty else _cut_all(loaded, inputs, recording, edge, windows, report)
        cut[edge.name] = found or dict.fromkeys(wanted, base)
    first = next((edge for edge in edges if not edge.empty), None)
    if first is not None:
        middle = wanted[len(wanted) // 2]
        self_test(loaded, inputs, first, windows[middle], cut[first.name][middle], report)
    for layer in wanted:
        on_layer(_result(layer, [cut[name][layer] for name in EDGES], base))


def _run_slowly(
    loaded: Loaded,
    inputs: Inputs,
    edges: list[Edge],
    windows: dict[int, range],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """A decoder with layers that have no attention: a whole pass for every edge and window. Only attention is cut."""
    nothing = torch.arange(0, device=loaded.device)

    def cut(edge: Edge, window: range) -> Tensor:
        cuts = {layer: Cut(edge.keys, edge.queries) for layer in window if layer in loaded.attending}
        with watch(loaded, Watch(nothing, [], None, cuts)):
            return _logprob(inputs, run_model(loaded, inputs.model_inputs, inputs.answer_rows))

    base = _logprob(inputs, run_model(loaded, inputs.model_inputs, inputs.answer_rows))
    for done, (layer, window) in enumerate(windows.items()):
        check(layer, done / len(windows))
        on_layer(_result(layer, [base if edge.empty else cut(edge, window) for edge in edges], base))


def _result(layer: int, logprobs: list[Tensor], base: Tensor) -> LayerResult:
    arrays = {"logprob": torch.stack(logprobs).float().cpu().numpy(), "base": base.float().cpu().numpy()}
    return LayerResult(ANALYSIS, layer, arrays)


def window_of(centre: int, window: int, count: int) -> range:
    """Layers that are cut around a centre; shorter at both ends. An even window has one layer more after its centre."""
    return range(max(0, centre - (window - 1) // 2), min(count, centre + window // 2 + 1))


def find_edges(inputs: Inputs) -> list[Edge]:
    """The edges of a prompt, in the order of `EDGES`."""
    device = inputs.answer_rows.device
    group = torch.as_tensor(inputs.prepared.tokens.group, device=device)
    of = {name: group == i for i, name in enumerate(GROUPS)}
    answer_rows = torch.zeros_like(of["answer"])
    answer_rows[inputs.answer_rows] = True
    queries = {"answer": answer_rows, "user": of["user"] & ~answer_rows}
    pairs = (name.split("->") for name in EDGES)
    return [Edge(f"{key}->{query}", of[key], queries[query]) for key, query in pairs]


def _cut_all(
    loaded: Loaded,
    inputs: Inputs,
    recording: Recording,
    edge: Edge,
    windows: dict[int, range],
    report: Callable[[int], None],
) -> dict[int, Tensor]:
    """Log-probabilities [T] of the answer for each window, this edge cut in it."""
    reached = recording.changed_by(edge.queries)
    # The answer's last token predicts nothing that is asked for, and nothing sees it.
    after = torch.arange(inputs.length, device=loaded.device) > inputs.answer_rows[-1]
    if torch.equal(recording.changed_by(after), after):
        reached &= ~after
    moving = reached.nonzero()[:, 0]
    fixed = (~reached).nonzero()[:, 0]
    seen = torch.cat([fixed, moving])
    hidden = edge.queries[moving][:, None] & edge.keys[seen][None] & (moving[:, None] != seen[None])
    found: dict[int, Tensor] = {}
    centres = sorted(windows, key=lambda centre: windows[centre].start)
    step = _lanes_at_once(loaded, len(moving), len(seen))
    for at in range(0, len(centres), step):
        some = centres[at : at + step]
        lanes = [Lane(windows[c].start, moving, recording.entering[windows[c].start][moving]) for c in some]
        ends = torch.tensor([windows[c].stop for c in some], device=loaded.device)

        def hide(layer: int, joined: int, ends: Tensor = ends) -> Tensor | None:
            active = ends[:joined] > layer
            return hidden[None] & active[:, None, None] if bool(active.any()) else None

        walked = walk(loaded, recording, lanes, fixed, report if at == 0 else _silent, hide=hide)
        logits = walked.logits(loaded, inputs.answer_rows, recording.logits.shape[-1])
        found.update((centre, _logprob(inputs, lane)) for centre, lane in zip(some, logits, strict=True))
    return found


def self_test(
    loaded: Loaded, inputs: Inputs, edge: Edge, window: range, expected: Tensor, report: Callable[[int], None]
) -> None:
    """Cuts one edge in a whole pass of the model: its weights are exactly zero, and the answer is as the walk has it.

    Args:
        loaded: The model.
        inputs: Prompt and answer.
        edge: The edge.
        window: Layers to cut it in.
        expected: [T], the log-probabilities that the walk gave for it.
        report: Called with the layers' indices as they are read.

    Raises:
        UnsupportedModelError: A cut connection carries attention, or the log-probabilities differ.
    """
    rows = edge.queries.nonzero()[:, 0]
    # A position keeps the connection to itself.
    gone = edge.keys[None] & (rows[:, None] != torch.arange(len(edge.keys), device=rows.device)[None])
    leaked = 0.0

    def look(chunk: Chunk) -> None:
        nonlocal leaked
        report(chunk.layer)
        part = gone[chunk.start : chunk.start + chunk.weights.shape[1]]
        leaked = max(leaked, float((chunk.weights * part).max()))

    cuts = dict.fromkeys(window, Cut(edge.keys, edge.queries))
    with watch(loaded, Watch(rows, list(window), look, cuts)):
        logits = run_model(loaded, inputs.model_inputs, inputs.answer_rows)
    if leaked != 0:
        raise UnsupportedModelError(
            f"The {loaded.info.family} model still has attention of {leaked:.2g} on {edge.name} where that was cut.",
            "Its knockout could not be trusted, so none is given.",
        )
    made = _logprob(inputs, logits)
    error = float((made - expected).abs().max())
    if not error <= head_tolerance(loaded) * max(1.0, float(logits.abs().max())):
        raise UnsupportedModelError(
            f"Cutting {edge.name} in the {loaded.info.family} model one way and another gives log-probabilities that "
            f"differ by {error:.2g}.",
            "Its knockout could not be trusted, so none is given.",
        )


def _logprob(inputs: Inputs, logits: Tensor) -> Tensor:
    """[T vocab] -> the answer tokens' log-probabilities [T]."""
    return at_least_float32(logits).log_softmax(-1).gather(-1, inputs.answer_ids[:, None])[:, 0]


def _lanes_at_once(loaded: Loaded, moving: int, seen: int) -> int:
    """Lanes of one walk within the memory that may be taken: keys, values and masks of all they see."""
    info, element = loaded.info, torch.finfo(loaded.dtype).bits // 8
    keys_values = 2 * seen * info.d_model * info.kv_heads // info.heads
    return rows_per_chunk(element * (keys_values + moving * (2 * seen + 16 * info.d_model)) // WALK_CHUNKS)


def _silent(_: int) -> None:
    """A chunk after the first is not counted: the fraction done would pass 1."""
