from __future__ import annotations

import contextlib

from flowtui.engine.budget import CHUNK_BYTES, SHRINK, rows_per_chunk, smaller_chunks


def test_rows_fit_into_a_chunk() -> None:
    assert rows_per_chunk(1 << 20) == CHUNK_BYTES >> 20
    assert rows_per_chunk(CHUNK_BYTES + 1) == 1
    assert rows_per_chunk(0) == CHUNK_BYTES


def test_smaller_chunks_end_with_their_block() -> None:
    before = rows_per_chunk(1000)
    with contextlib.suppress(KeyError), smaller_chunks():
        assert rows_per_chunk(1000) == CHUNK_BYTES // SHRINK // 1000
        raise KeyError
    assert rows_per_chunk(1000) == before
