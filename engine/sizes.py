"""The sizes that memory follows from, and a formula for each thing that takes memory: the terms of `costs`. Torch-free.

Where a value is kept for the backward pass follows from what is frozen: a product with a frozen matrix keeps nothing.
So a layer keeps less than the 17 values (of two bytes) per token and channel that training keeps (Korthikanti et al.
2022, "Reducing Activation Recomputation in Large Transformer Models", Eq. 2 without its last term).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLOAT = 4
"""Bytes of what is computed in float32 whatever the model's type."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the formulas are about.

    Attributes:
        layers, d_model, heads, kv_heads, head_dim, vocab: Of the decoder.
        d_ff: Width of the feed-forward block; with experts, of those that one token goes through, together.
        d_norm: Widths of one layer's norms, together.
        d_cache: What holding one token's keys and values in one layer holds: more than these where a projection makes
            queries with them.
        element_bytes: Of one number of the model.
        tokens: N, prompt and answer.
        answer: T.
        image: n.
        moving: Tokens that a cut before the first user token can reach.
        max_new_tokens: Longest answer that is decoded.
        all_logits: Whether the model makes logits of all tokens, wanted or not.
        masks: Kinds of masks of the whole sequence; plain causal order needs none.
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
    d_cache: int
    element_bytes: int
    tokens: int
    answer: int
    image: int
    moving: int
    max_new_tokens: int
    all_logits: bool = False
    masks: int = 0
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
    """Embeddings, image features, cosines and sines, and masks (a bool and an additive copy) of the whole pass."""
    features = 2 * (s.tokens + s.image) * s.d_model + 4 * s.tokens * s.head_dim
    return s.element_bytes * features + s.masks * s.tokens * s.tokens * (1 + s.element_bytes)


def vision_at_work(s: Sizes) -> int:
    """The vision tower: pixels, one layer, and every layer's outcome, which many models ask it for."""
    return 2 * s.pixel_bytes + s.patches * s.element_bytes * ((s.vision_layers + 8) * s.d_vision + 3 * s.d_vision_ff)


def logits(s: Sizes, rows: int) -> int:
    """Logits of some rows, as the model makes them and in float32."""
    return rows * s.vocab * (s.element_bytes + FLOAT)


def capped(s: Sizes, way: Way, matrices: int = 3) -> int:
    """Attention by the formula, chunk by chunk, where scores are capped; nothing elsewhere.

    Args:
        s: Sizes.
        way: Size of a chunk.
        matrices: [head row key] float32 tensors alive at once.
    """
    row = s.heads * s.tokens * FLOAT
    return way.rows(3 * row, s.tokens) * matrices * row + 4 * s.tokens * s.q * FLOAT if s.softcap else 0


def forward(s: Sizes, way: Way, *, head: bool = True) -> int:
    """The whole forward pass, nothing kept; without its logits where it ends before them."""
    work = max(layer_at_work(s, s.tokens) + capped(s, way), vision_at_work(s))
    rows = 0 if not head else s.tokens if s.all_logits else s.answer + 1
    return around_layers(s) + work + logits(s, rows)


def kept_by_layer(s: Sizes) -> int:
    """What one layer keeps for the backward pass.

    Norms keep their input in float32; attention its queries, keys, values and outcome; a gated feed-forward block
    three values of its width. Frozen projections keep nothing.
    """
    return s.tokens * (FLOAT * s.d_norm + s.element_bytes * (2 * s.q + s.d_cache + 3 * s.d_ff))


def gradient_at_work(s: Sizes, way: Way) -> int:
    """The gradient on its way through one layer: of the widest part, of the stream, and of a norm in float32."""
    return capped(s, way, 5) + s.tokens * (
        s.element_bytes * (3 * s.d_model + max(3 * s.d_ff, 3 * s.q + 2 * s.kv)) + 4 * FLOAT * s.d_model
    )


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
    return s.element_bytes * (s.layers * s.tokens * s.d_cache + entering * s.d_model)


def lanes_at_work(s: Sizes, way: Way, lanes: int, own: int, seen: int) -> int:
    """One layer of a walk: `lanes` runs of `own` tokens that see `seen` keys; keys shared by heads are copied out."""
    stands = own * s.d_model * s.element_bytes
    keys = s.element_bytes * seen * 2 * (s.kv + (s.q if s.kv_heads < s.heads else 0))
    masks = own * seen * (2 + 2 * s.element_bytes)
    return lanes * (2 * stands + keys + masks) + layer_at_work(s, lanes * own) + capped(s, way)
