"""What each analysis takes, in bytes and in forward passes, from sizes alone: one table (`COSTS`), one formula a term.

Estimates are upper bounds that stay close: tests count the bytes that torch really holds, on a model with random
weights, and compare. Torch-free.

Where a value is kept for the backward pass follows from what is frozen: a matrix product with a frozen matrix keeps
nothing. So a layer keeps less than the 17 values per token and channel (of two bytes each) that training keeps
(Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", Eq. 2 without its last term).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from .budget import WALK_CHUNKS
from .shapes import EDGES, MAPS
from .spec import (
    AttentionParameters,
    CamParameters,
    FaithfulnessParameters,
    KnockoutParameters,
    LensParameters,
    Parameters,
    TruncationParameters,
)

FLOAT = 4
"""Bytes of what is computed in float32 whatever the model's type."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the formulas are about.

    Attributes:
        layers, d_model, heads, kv_heads, head_dim, vocab: Of the decoder.
        d_ff: Width of the feed-forward block; with experts, of those that one token goes through, together.
        d_norm: Widths of one layer's norms, together.
        element_bytes: Of one number of the model.
        tokens: N, prompt and answer.
        answer: T.
        image: n.
        moving: Tokens that a cut before the first user token can reach.
        max_new_tokens: Longest answer that is decoded.
        all_logits: Whether the model makes logits of all tokens, wanted or not.
        softcap: Whether attention is computed by the formula, because its scores are capped.
        patches, vision_layers, d_vision, d_vision_ff: Of the vision tower; 0 where it is not known.
        pixel_bytes: Of what the processor makes of the images.
    """

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    d_ff: int
    d_norm: int
    element_bytes: int
    tokens: int
    answer: int
    image: int
    moving: int
    max_new_tokens: int
    all_logits: bool = False
    softcap: bool = False
    patches: int = 0
    vision_layers: int = 0
    d_vision: int = 0
    d_vision_ff: int = 0
    pixel_bytes: int = 0

    @property
    def q(self) -> int:
        """Queries of one token: numbers in all heads."""
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        """Keys (or values) of one token."""
        return self.kv_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class Way:
    """How an analysis is run.

    Attributes:
        layers: Layers (or K) wanted, ascending.
        chunk_bytes: As in `flowtui.engine.budget`.
        recompute: Whether layers are computed again in the backward pass rather than kept for it.
    """

    layers: Sequence[int]
    chunk_bytes: int
    recompute: bool = False

    def rows(self, row_bytes: int, most: int) -> int:
        """Rows of one chunk, as `budget.rows_per_chunk` says."""
        return min(most, max(1, self.chunk_bytes // max(1, row_bytes)))


@dataclass(frozen=True, slots=True)
class Bytes:
    """An estimate.

    Attributes:
        activations: What the forward pass takes, and what it keeps for the backward pass.
        buffers: What the analysis takes beside it.
    """

    activations: int
    buffers: int

    @property
    def peak(self) -> int:
        """Both together."""
        return self.activations + self.buffers


def layer_at_work(s: Sizes, rows: int) -> int:
    """One layer on `rows` tokens, nothing kept: residual stream, its norm, and attention or feed-forward block."""
    widest = max(4 * s.q + 4 * s.kv, 3 * s.d_ff)
    return rows * s.element_bytes * (3 * s.d_model + widest)


def around_layers(s: Sizes) -> int:
    """Embeddings, image features, cosines and sines, and the mask (a bool and an additive copy) of the whole pass."""
    features = (s.tokens + 2 * s.image) * s.d_model + 4 * s.tokens * s.head_dim
    return s.element_bytes * features + s.tokens * s.tokens * (1 + s.element_bytes)


def vision_at_work(s: Sizes) -> int:
    """The vision tower: pixels, one layer, and every layer's outcome, which many models ask it for."""
    return 2 * s.pixel_bytes + s.patches * s.element_bytes * ((s.vision_layers + 8) * s.d_vision + 3 * s.d_vision_ff)


def logits(s: Sizes, rows: int) -> int:
    """Logits of some rows, as the model makes them and in float32."""
    return rows * s.vocab * (s.element_bytes + FLOAT)


def forward(s: Sizes, way: Way) -> int:
    """The whole forward pass, nothing kept."""
    capped = way.rows(3 * s.heads * s.tokens * FLOAT, s.tokens) * 3 * s.heads * s.tokens * FLOAT if s.softcap else 0
    work = max(layer_at_work(s, s.tokens) + capped, vision_at_work(s))
    return around_layers(s) + work + logits(s, s.tokens if s.all_logits else s.answer + 1)


def kept_by_layer(s: Sizes) -> int:
    """What one layer keeps for the backward pass.

    Norms keep their input in float32; attention its queries, keys, values and outcome; a gated feed-forward block
    three values of its width. Frozen projections keep nothing.
    """
    return s.tokens * (FLOAT * s.d_norm + s.element_bytes * (2 * s.q + 2 * s.kv + 3 * s.d_ff))


def gradient_at_work(s: Sizes) -> int:
    """The gradient on its way through one layer: of the widest part, of the stream, and of a norm in float32."""
    return s.tokens * (s.element_bytes * (3 * s.d_model + max(3 * s.d_ff, 3 * s.q + 2 * s.kv)) + 4 * FLOAT * s.d_model)


def stream(s: Sizes, count: int) -> int:
    """`count` copies of the residual stream of all tokens."""
    return count * s.tokens * s.d_model * s.element_bytes


def weights_of_rows(s: Sizes, way: Way, rows: int, matrices: int, planned: int) -> int:
    """Attention weights of `rows` rows, chunk by chunk.

    Args:
        s: Sizes.
        way: Size of a chunk.
        rows: Rows that are read.
        matrices: [head row key] float32 tensors alive at once.
        planned: How many of them the analysis counts when it cuts chunks.
    """
    at_once = way.rows(planned * s.heads * s.tokens * FLOAT, rows)
    copies = s.tokens * FLOAT * (3 * s.kv + s.q + s.heads)
    return at_once * FLOAT * (matrices * s.heads * s.tokens + 2 * s.tokens + 2 * s.q) + copies


def recording(s: Sizes, entering: int) -> int:
    """Keys and values of all layers, and `entering` rows of residual stream (`_record`)."""
    return s.element_bytes * (2 * s.layers * s.tokens * s.kv + entering * s.d_model)


def lanes_at_work(s: Sizes, lanes: int, own: int, seen: int) -> int:
    """One layer of a walk: `lanes` runs of `own` tokens that see `seen` keys; keys shared by heads are copied out."""
    stands = own * s.d_model * s.element_bytes
    keys = s.element_bytes * seen * 2 * (s.kv + (s.q if s.kv_heads < s.heads else 0))
    masks = own * seen * (2 + 2 * s.element_bytes)
    return lanes * (2 * stands + keys + masks) + layer_at_work(s, lanes * own)


def _after(passing: int, held: int, later: int) -> Bytes:
    """What is held from a forward pass on, with what comes after it: the pass itself is over by then."""
    return Bytes(passing, held + max(0, later - passing))


def attention(s: Sizes, parameters: AttentionParameters, way: Way) -> Bytes:
    """A forward pass, and the weights of the answer rows."""
    whole = 2 * s.answer * s.heads * s.tokens * FLOAT if parameters.weights else 0
    return Bytes(forward(s, way), weights_of_rows(s, way, s.answer, 3, 3) + whole)


def cam(s: Sizes, parameters: CamParameters, way: Way) -> Bytes:
    """One pass that is kept from the first layer wanted on, the sites' features, and their gradients."""
    count, span = len(way.layers), s.layers - way.layers[0]
    kept = stream(s, span) + kept_by_layer(s) if way.recompute else span * kept_by_layer(s)
    pixels = parameters.copies * s.pixel_bytes if parameters.variant == "smooth" else 0
    rows = count * s.image * s.d_model * (s.element_bytes + (3 if parameters.per_token else 1) * FLOAT)
    passing = max(forward(s, way) - around_layers(s), gradient_at_work(s))
    return Bytes(around_layers(s) + kept + passing, stream(s, 2 * count) + rows + pixels)


def saliency(s: Sizes, _: Parameters, way: Way) -> Bytes:
    """One pass of which each layer keeps what entered it, one layer computed again, and weights of all rows."""
    span = s.layers - way.layers[0]
    kept = stream(s, span) + kept_by_layer(s)
    passing = max(forward(s, way) - around_layers(s), gradient_at_work(s))
    return Bytes(around_layers(s) + kept + passing, weights_of_rows(s, way, s.tokens, 2, 4))


def truncation(s: Sizes, parameters: TruncationParameters, way: Way) -> Bytes:
    """The recorded pass, the lanes of one walk with their keys and values, and room for decoding them."""
    below = [k for k in way.layers if k < s.layers]
    own = s.tokens - s.image + (0 if parameters.strategy == "all" else parameters.r)
    planned = own * s.element_bytes * (2 * s.layers * s.kv + 16 * s.d_model)
    lanes = way.rows(planned // WALK_CHUNKS, len(below)) if below else 0
    kv = 2 * s.kv * s.element_bytes
    lane_keys = sum(s.layers - k for k in below[:lanes]) * own * kv
    keys = s.layers * kv * (s.tokens + (lanes + 1) * s.max_new_tokens) + lane_keys
    seen = s.layers * (lanes + 1) * (s.tokens + lanes * own)
    compared = 6 * (s.answer + 1) * s.vocab * FLOAT
    ahead = 4 * (s.tokens + s.max_new_tokens) * s.d_model * s.element_bytes
    # A decoding step of all lanes goes over all that any of them sees.
    step = kv // 2 * 2 * (s.heads // s.kv_heads) * (s.tokens + lanes * own) if s.kv_heads < s.heads else 0
    held = recording(s, len(below) * own) + lane_keys + 3 * s.tokens * s.tokens + compared
    return _after(forward(s, way), held, max(lanes_at_work(s, lanes, own, own), keys + seen + ahead + step))


def knockout(s: Sizes, parameters: KnockoutParameters, way: Way) -> Bytes:
    """The recorded pass, the lanes of one walk for the edge that reaches most tokens, and a pass that checks the cut."""
    starts = {max(0, layer - (parameters.window - 1) // 2) for layer in way.layers}
    own = s.moving
    planned = s.element_bytes * (2 * s.tokens * s.kv + own * (2 * s.tokens + 16 * s.d_model))
    lanes = way.rows(planned // WALK_CHUNKS, len(way.layers))
    compared = 4 * (s.answer + 1) * s.vocab * FLOAT
    held = recording(s, len(starts) * s.tokens) + 3 * s.tokens * s.tokens + compared
    check = forward(s, way) + weights_of_rows(s, way, own, 3, 3)
    return _after(forward(s, way), held, max(lanes_at_work(s, lanes, own, s.tokens), check))


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
    held = recording(s, s.tokens) + 3 * s.tokens * s.tokens + 2 * logits(s, s.answer + 1)
    curves = _after(forward(s, way), held, lanes_at_work(s, lanes, own, s.tokens))
    return max(*maps, curves, key=lambda found: found.peak)


def lens(s: Sizes, parameters: LensParameters, way: Way) -> Bytes:
    """A forward pass, the residual stream of the rows that are read, and their logits, chunk by chunk."""
    rows = s.answer + (s.image if parameters.image else 0)
    at_once = way.rows(3 * s.vocab * FLOAT, rows)
    return Bytes(forward(s, way), len(way.layers) * rows * s.d_model * s.element_bytes + 4 * at_once * s.vocab * FLOAT)


def passes_of_attention(s: Sizes, _: Parameters, way: Way) -> float:
    """Up to the last layer wanted; reading rows takes up to a fifth more (design.md)."""
    return 1.2 * (way.layers[-1] + 1) / s.layers


def passes_of_cam(s: Sizes, parameters: CamParameters, way: Way) -> float:
    """One forward pass, and one backward pass per map, as long as a forward pass: frozen weights have no gradient."""
    part = (s.layers - way.layers[0]) / s.layers
    backward = (max(1, s.answer) if parameters.per_token else 1) * part * (2 if way.recompute else 1)
    return (parameters.copies if parameters.variant == "smooth" else 1) * (1 + backward)


def passes_of_saliency(s: Sizes, _: Parameters, way: Way) -> float:
    """Forward, forward again, backward, and the weights and gradients of all rows: about one pass more."""
    return 1 + 3 * (s.layers - way.layers[0]) / s.layers


def passes_of_truncation(s: Sizes, parameters: TruncationParameters, way: Way) -> float:
    """The full pass, each K's share of another (method.md), and about one for decoding."""
    own = s.tokens - s.image + (0 if parameters.strategy == "all" else parameters.r)
    return 2 + sum(s.layers - k for k in way.layers) * own / (s.layers * s.tokens)


def passes_of_knockout(s: Sizes, _: Parameters, way: Way) -> float:
    """The full pass, the pass that checks a cut, and each window's share of another for every edge."""
    edges = len(EDGES) * sum(s.layers - k for k in way.layers) / s.layers
    return 2.2 + edges * s.moving / s.tokens


def passes_of_faithfulness(s: Sizes, parameters: FaithfulnessParameters, way: Way) -> float:
    """The maps, the full pass, and every point of both curves of every order: half of the image on average."""
    maps = (
        passes_of_cam(s, CamParameters(per_token=False), way)
        + passes_of_saliency(s, parameters, way)
        + passes_of_attention(s, parameters, way)
    )
    orders = len(MAPS) * len(way.layers) + parameters.orders
    return 1 + maps + 2 * orders * parameters.steps * (s.tokens - s.image / 2) / s.tokens


def passes_of_lens(s: Sizes, parameters: LensParameters, way: Way) -> float:
    """The full pass, and the output embedding at the rows that are read, against the weights of all layers."""
    rows = s.answer + (s.image if parameters.image else 0)
    layer = s.d_model * (2 * s.q + 2 * s.kv + 3 * s.d_ff)
    return 1 + len(way.layers) * rows * s.d_model * s.vocab / (s.tokens * s.layers * layer)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one analysis takes.

    Attributes:
        estimate: Bytes, from sizes, parameters and the way it is run.
        passes: Time, in forward passes of the same prompt.
        recomputes: Whether it can do without kept activations by computing layers again.
    """

    estimate: Callable[[Sizes, Parameters, Way], Bytes]
    passes: Callable[[Sizes, Parameters, Way], float]
    recomputes: bool = False


# Each row's functions take that row's own parameters.
COSTS: dict[str, Cost] = {
    "attention": Cost(attention, passes_of_attention),  # type: ignore[arg-type]
    "cam": Cost(cam, passes_of_cam, recomputes=True),  # type: ignore[arg-type]
    "saliency": Cost(saliency, passes_of_saliency),
    "truncation": Cost(truncation, passes_of_truncation),  # type: ignore[arg-type]
    "knockout": Cost(knockout, passes_of_knockout),  # type: ignore[arg-type]
    "faithfulness": Cost(faithfulness, passes_of_faithfulness, recomputes=True),  # type: ignore[arg-type]
    "lens": Cost(lens, passes_of_lens),  # type: ignore[arg-type]
}
"""By analysis."""
