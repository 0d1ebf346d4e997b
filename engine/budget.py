"""How much memory an analysis may take for one chunk of intermediate values; smaller after a failure for want of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHUNK_BYTES = 64 << 20
SHRINK = 16

_chunk_bytes: ContextVar[int] = ContextVar("chunk_bytes", default=CHUNK_BYTES)


def rows_per_chunk(row_bytes: int) -> int:
    """Rows of `row_bytes` bytes each that fit into one chunk; at least one."""
    return max(1, _chunk_bytes.get() // max(1, row_bytes))


@contextmanager
def smaller_chunks() -> Iterator[None]:
    """Inside, chunks are `SHRINK` times smaller."""
    token = _chunk_bytes.set(max(1, _chunk_bytes.get() // SHRINK))
    try:
        yield
    finally:
        _chunk_bytes.reset(token)
