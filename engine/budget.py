"""How much memory an analysis may take: the size of one chunk of intermediate values, and what it may keep.

`flowtui.engine.fit` chooses both before an analysis, by what is free; both shrink after a failure for want of memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHUNK_BYTES = 64 << 20
"""Where there is room: larger chunks take more memory and save no time."""

LEAST_CHUNK_BYTES = 1 << 18
"""Smaller ones save next to nothing: a chunk is never less than one row."""

SHRINK = 16

WALK_CHUNKS = 16
"""A walk (`_walk`) keeps keys and values of all its layers, so it gets more than one chunk of passing values."""

LOGITS = 3
"""Times that a chunk of logits in float32 is there: as the model makes them, in float32, and what is made of them."""

_chunk_bytes: ContextVar[int] = ContextVar("chunk_bytes", default=CHUNK_BYTES)
_recompute: ContextVar[bool] = ContextVar("recompute", default=False)


def rows_per_chunk(row_bytes: int) -> int:
    """Rows of `row_bytes` bytes each that fit into one chunk; at least one."""
    return max(1, _chunk_bytes.get() // max(1, row_bytes))


def recomputing() -> bool:
    """Whether layers are to be computed again in a backward pass rather than kept for it."""
    return _recompute.get()


@contextmanager
def limits(chunk_bytes: int, *, recompute: bool) -> Iterator[None]:
    """Inside, chunks have this size, and layers are recomputed or kept."""
    chunk, again = _chunk_bytes.set(chunk_bytes), _recompute.set(recompute)
    try:
        yield
    finally:
        _chunk_bytes.reset(chunk)
        _recompute.reset(again)


@contextmanager
def smaller_chunks() -> Iterator[None]:
    """Inside, chunks are `SHRINK` times smaller, and no layer is kept for a backward pass."""
    with limits(max(1, _chunk_bytes.get() // SHRINK), recompute=True):
        yield
