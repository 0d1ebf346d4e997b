"""What each analysis takes, in bytes and in forward passes, from sizes alone: one table (`COSTS`). Torch-free.

Estimates are upper bounds that stay close: tests count the bytes that torch really holds, on models with random
weights, and compare (docs/decisions/0004-memory-estimates.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .budget import LOGITS, WALK_CHUNKS
from .shapes import EDGES, MAPS
from .sizes import (
    FLOAT,
    Bytes,
    Sizes,
    Way,
    around_layers,
    forward,
    gradient_at_work,
    kept_by_layer,
    lanes_at_work,
    logits,
    recording,
    stream,
    weights_of_rows,
)
from .spec import (
    AttentionParameters,
    CamParameters,
    FaithfulnessParameters,
    KnockoutParameters,
    LensParameters,
    MatrixParameters,
    Parameters,
    TruncationParameters,
)

BACKWARD = 1.5
"""A backward pass, in forward passes: products with frozen weights have one gradient to compute, attention three."""

WALKED = 1.5
"""A token in a walk, against one in a plain pass: masks and shared keys are put together for every layer."""

STEP = 0.07
"""One step of decoding all lanes, in passes over some 600 tokens: it reads the same weights and does little else."""

MOST_RUNS = 16
"""Runs of one group that a prompt has beyond what a matrix' number of cells says."""


def _after(passing: int, held: int, later: int) -> Bytes:
    """What is held from a forward pass on, with what comes after it: the pass itself is over by then."""
    return Bytes(passing, held + max(0, later - passing))


def _lane_logits(s: Sizes, way: Way, lanes: int) -> int:
    """Logits of as many lanes as are made at once."""
    rows = s.answer + 1
    return logits(s, rows * way.rows(LOGITS * rows * s.vocab * FLOAT, lanes))


def attention(s: Sizes, parameters: AttentionParameters, way: Way) -> Bytes:
    """A forward pass, and the weights of the answer rows."""
    whole = 2 * s.answer * s.heads * s.tokens * FLOAT if parameters.weights else 0
    return Bytes(forward(s, way, head=False), weights_of_rows(s, way, s.answer, 3, 3) + whole)


def cam(s: Sizes, parameters: CamParameters, way: Way) -> Bytes:
    """One pass that is kept from the first layer wanted on, the sites' features, and their gradients."""
    count, span = len(way.layers), s.layers - way.layers[0]
    kept = stream(s, span) + kept_by_layer(s) if way.recompute else span * kept_by_layer(s)
    pixels = parameters.copies * s.pixel_bytes if parameters.variant == "smooth" else 0
    rows = count * s.image * s.d_model * (s.element_bytes + (3 if parameters.per_token else 1) * FLOAT)
    passing = max(forward(s, way) - around_layers(s), gradient_at_work(s, way))
    return Bytes(around_layers(s) + kept + passing, stream(s, 2 * count) + rows + pixels)


def saliency(s: Sizes, _: Parameters, way: Way) -> Bytes:
    """One pass of which each layer keeps what entered it, one layer computed again, and weights of all rows."""
    span = s.layers - way.layers[0]
    kept = stream(s, span) + kept_by_layer(s)
    passing = max(forward(s, way) - around_layers(s), gradient_at_work(s, way))
    return Bytes(around_layers(s) + kept + passing, weights_of_rows(s, way, s.tokens, 2, 4))


def truncation(s: Sizes, parameters: TruncationParameters, way: Way) -> Bytes:
    """The recorded pass, the lanes of one walk with their keys and values, and room for decoding them."""
    below = [k for k in way.layers if k < s.layers]
    own = s.tokens - s.image + (0 if parameters.strategy == "all" else parameters.r)
    planned = own * s.element_bytes * (2 * s.layers * s.kv + 16 * s.d_model)
    lanes = way.rows(planned // WALK_CHUNKS, len(below)) if below else 0
    kv = 2 * s.kv * s.element_bytes
    lane_keys = sum(s.layers - k for k in below[:lanes]) * own * s.d_cache * s.element_bytes
    keys = s.layers * kv * (s.tokens + (lanes + 1) * s.max_new_tokens) + lane_keys
    seen = s.layers * (lanes + 1) * (s.tokens + lanes * own)
    compared = 6 * (s.answer + 1) * s.vocab * FLOAT + _lane_logits(s, way, lanes)
    ahead = 4 * (s.tokens + s.max_new_tokens) * s.d_model * s.element_bytes
    # A decoding step of all lanes goes over all that any of them sees.
    step = kv // 2 * 2 * (s.heads // s.kv_heads) * (s.tokens + lanes * own) if s.kv_heads < s.heads else 0
    held = recording(s, len(below) * own) + lane_keys + 3 * s.tokens * s.tokens + compared
    return _after(forward(s, way), held, max(lanes_at_work(s, way, lanes, own, own), keys + seen + ahead + step))


def knockout(s: Sizes, parameters: KnockoutParameters, way: Way) -> Bytes:
    """The recorded pass, the lanes of one walk for the edge that reaches most tokens, a pass that checks the cut."""
    starts = {max(0, layer - (parameters.window - 1) // 2) for layer in way.layers}
    own = s.moving
    planned = s.element_bytes * (2 * s.tokens * s.kv + own * (2 * s.tokens + 16 * s.d_model))
    lanes = way.rows(planned // WALK_CHUNKS, len(way.layers))
    compared = 4 * (s.answer + 1) * s.vocab * FLOAT + _lane_logits(s, way, lanes)
    held = recording(s, len(starts) * s.tokens) + 3 * s.tokens * s.tokens + compared
    check = forward(s, way) + weights_of_rows(s, way, own, 3, 3)
    return _after(forward(s, way), held, max(lanes_at_work(s, way, lanes, own, s.tokens), check))


def faithfulness(s: Sizes, parameters: FaithfulnessParameters, way: Way) -> Bytes:
    """The maps one after the other, then the lanes of one walk over the fullest point of a curve."""
    maps = [
        cam(s, CamParameters(per_token=False), way),
        saliency(s, parameters, way),
        attention(s, AttentionParameters(), way),
    ]
    orders = len(MAPS) * len(way.layers) + parameters.orders
    # At the fullest points one step's tokens are gone; the untouched prompt is not run again.
    own = s.tokens - s.image // parameters.steps
    planned = s.element_bytes * own * (2 * s.kv + 16 * s.d_model)
    lanes = way.rows(planned // WALK_CHUNKS, orders)
    held = recording(s, s.tokens) + 3 * s.tokens * s.tokens + logits(s, s.answer + 1) + _lane_logits(s, way, lanes)
    curves = _after(forward(s, way), held, lanes_at_work(s, way, lanes, own, s.tokens))
    return max(*maps, curves, key=lambda found: found.peak)


def lens(s: Sizes, parameters: LensParameters, way: Way) -> Bytes:
    """A forward pass, and the logits of the rows that are read, chunk by chunk: a row has the vocabulary's length."""
    at_once = way.rows(4 * s.vocab * FLOAT, max(s.answer, s.image if parameters.image else 0))
    # In half precision, or capped, they exist once more than in float32 and as what is summed.
    copies = 2 * FLOAT + (s.element_bytes if s.element_bytes < FLOAT else 0) + FLOAT * s.softcap
    reading = around_layers(s) + stream(s, 2) + at_once * (s.vocab * copies + 3 * s.d_model * FLOAT)
    return _after(forward(s, way, head=False), 0, reading)


def matrix(s: Sizes, parameters: MatrixParameters, way: Way) -> Bytes:
    """A forward pass, and the weights of all rows, summed into cells chunk by chunk."""
    cells = min(s.tokens, parameters.cells + MOST_RUNS)
    summed = FLOAT * (2 * s.tokens * cells + 3 * cells * cells)
    return Bytes(forward(s, way, head=False), weights_of_rows(s, way, s.tokens, 3, 3) + summed)


def passes_of_attention(s: Sizes, _: Parameters, way: Way) -> float:
    """Up to the last layer wanted; reading rows takes up to a fifth more (design.md)."""
    return 1.2 * (way.layers[-1] + 1) / s.layers


def passes_of_cam(s: Sizes, parameters: CamParameters, way: Way) -> float:
    """One forward pass, one backward pass per map, and one forward pass more for each of these to compute again."""
    part = (s.layers - way.layers[0]) / s.layers
    maps = max(1, s.answer) if parameters.per_token else 1
    backward = maps * part * (BACKWARD + way.recompute)
    return (parameters.copies if parameters.variant == "smooth" else 1) * (1 + backward)


def passes_of_saliency(s: Sizes, _: Parameters, way: Way) -> float:
    """Forward, forward again, backward, and the weights and gradients of all rows: about one pass more."""
    return 1 + (2 + BACKWARD) * (s.layers - way.layers[0]) / s.layers


def passes_of_truncation(s: Sizes, parameters: TruncationParameters, way: Way) -> float:
    """The full pass, each K's share of another (method.md), and decoding, as if every K gave another answer."""
    own = s.tokens - s.image + (0 if parameters.strategy == "all" else parameters.r)
    walked = sum(s.layers - k for k in way.layers) * own / (s.layers * s.tokens)
    return 1 + WALKED * walked + STEP * s.max_new_tokens


def passes_of_knockout(s: Sizes, _: Parameters, way: Way) -> float:
    """The full pass, the pass that checks a cut, and each window's share of another for every edge."""
    edges = len(EDGES) * sum(s.layers - k for k in way.layers) / s.layers
    return 2.2 + WALKED * edges * s.moving / s.tokens


def passes_of_faithfulness(s: Sizes, parameters: FaithfulnessParameters, way: Way) -> float:
    """The maps, the full pass, and every point of both curves of every order: half of the image on average."""
    maps = (
        passes_of_cam(s, CamParameters(per_token=False), way)
        + passes_of_saliency(s, parameters, way)
        + passes_of_attention(s, parameters, way)
    )
    orders = len(MAPS) * len(way.layers) + parameters.orders
    return 1 + maps + WALKED * 2 * orders * parameters.steps * (s.tokens - s.image / 2) / s.tokens


def passes_of_lens(s: Sizes, parameters: LensParameters, way: Way) -> float:
    """Up to the last layer wanted, and the output embedding at the rows that are read, against a layer's weights."""
    rows = s.answer + (s.image if parameters.image else 0)
    layer = s.d_model * (2 * s.q + 2 * s.kv + 3 * s.d_ff)
    read = len(way.layers) * rows * s.d_model * s.vocab / (s.tokens * s.layers * layer)
    return (way.layers[-1] + 1) / s.layers + read


def passes_of_matrix(s: Sizes, _: Parameters, way: Way) -> float:
    """Up to the last layer wanted; the weights of all rows are about a pass more."""
    return 2 * (way.layers[-1] + 1) / s.layers


@dataclass(frozen=True, slots=True)
class Cost:
    """What one analysis takes.

    Attributes:
        estimate: Bytes, from sizes, the analysis' own parameters and the way it is run.
        passes: Time, in forward passes of the same prompt, likewise.
        recomputes: Whether it can do without kept activations by computing layers again.
    """

    estimate: Callable[[Sizes, Any, Way], Bytes]
    passes: Callable[[Sizes, Any, Way], float]
    recomputes: bool = False


COSTS: dict[str, Cost] = {
    "attention": Cost(attention, passes_of_attention),
    "cam": Cost(cam, passes_of_cam, recomputes=True),
    "saliency": Cost(saliency, passes_of_saliency),
    "truncation": Cost(truncation, passes_of_truncation),
    "knockout": Cost(knockout, passes_of_knockout),
    "faithfulness": Cost(faithfulness, passes_of_faithfulness, recomputes=True),
    "lens": Cost(lens, passes_of_lens),
    "matrix": Cost(matrix, passes_of_matrix),
}
"""By analysis."""
