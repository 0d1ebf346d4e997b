"""The one encoding of arrays: exact round trips, and one clear error for anything else."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from flowtui.cache.tensors import MAX_HEADER_BYTES, pack, unpack
from flowtui.errors import RunFileError


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 4, 4), (2, 0, 5)])
def test_arrays_come_back_bit_for_bit(dtype: str, shape: tuple[int, ...]) -> None:
    raw = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 100, shape)
    array = np.asarray(raw).astype(dtype)
    arrays, meta = unpack(pack({"x": array}, {"a": "1"}))
    assert meta == {"a": "1"}
    assert arrays["x"].dtype == array.dtype
    assert arrays["x"].shape == array.shape
    assert arrays["x"].tobytes() == array.tobytes()


def test_strange_values_and_text_survive() -> None:
    array = np.array([np.nan, -0.0, np.inf, np.float32(1e-45)], dtype=np.float32)
    meta = {"text": 'ü "quoted" \x1b[31m\n\U0001f600', "": ""}
    arrays, found = unpack(pack({"ü": array}, meta))
    assert arrays["ü"].tobytes() == array.tobytes()
    assert found == meta
    assert unpack(pack({}, {})) == ({}, {})


def test_layout_in_memory_does_not_matter() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert pack({"x": array.T.copy().T}, {}) == pack({"x": array}, {}) == pack({"x": array[::1]}, {})
    np.testing.assert_array_equal(unpack(pack({"x": array.T}, {}))[0]["x"], array.T)
    np.testing.assert_array_equal(unpack(pack({"x": array[::2, ::-1]}, {}))[0]["x"], array[::2, ::-1])


def test_equal_content_gives_equal_bytes() -> None:
    one, two = np.zeros(3), np.ones(2, dtype=np.uint8)
    assert pack({"a": one, "b": two}, {"x": "1", "y": "2"}) == pack({"b": two, "a": one}, {"y": "2", "x": "1"})


def block(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
MALFORMED: dict[str, Any] = {
    "empty": b"",
    "short": b"\x00" * 7,
    "not bytes": "text",
    "none": None,
    "header longer than the block": struct.pack("<Q", 100) + b"{}",
    "header of 2**63": struct.pack("<Q", 1 << 63) + b"{}",
    "header over 1 MiB": block(b" " * (MAX_HEADER_BYTES + 1)),
    "header not JSON": block(b"{oops"),
    "header not UTF-8": block(b"\xff\xfe"),
    "header a list": block([]),
    "header a number": block(7),
    "header nested deeply": block(b'{"__metadata__":' + b"[" * 50_000),
    "metadata a list": block({"__metadata__": []}),
    "metadata not JSON": block({"__metadata__": {"flowtui": "{oops"}}),
    "metadata not text": block({"__metadata__": {"flowtui": '{"layer": 3}'}}),
    "metadata a list inside": block({"__metadata__": {"flowtui": "[1]"}}),
    "metadata null": block({"__metadata__": {"flowtui": None}}),
    "no payload": block({"x": ONE}),
    "payload too long": block({"x": ONE}, b"\0" * 8),
    "payload too short": block({"x": ONE}, b"\0" * 3),
    "offsets beyond": block({"x": {**ONE, "data_offsets": [100, 104]}}, b"\0" * 4),
    "offsets reversed": block({"x": {**ONE, "data_offsets": [4, 0]}}, b"\0" * 4),
    "offsets overlap": block({"x": ONE, "y": ONE}, b"\0" * 4),
    "shape too large": block({"x": {**ONE, "shape": [1 << 40]}}, b"\0" * 4),
    "shape overflows": block({"x": {**ONE, "shape": [1 << 62, 1 << 62]}}, b"\0" * 4),
    "shape negative": block({"x": {**ONE, "shape": [-1]}}, b"\0" * 4),
    "type unknown": block({"x": {**ONE, "dtype": "OBJECT"}}, b"\0" * 4),
    "type numpy lacks": block({"x": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"\0" * 4),
    "array a number": block({"x": 7}),
    "pickle": b"\x80\x04N." + b"\0" * 20,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_blocks_are_one_error(name: str) -> None:
    with pytest.raises(RunFileError, match="tensor block"):
        unpack(MALFORMED[name])


def test_the_header_cap_holds_at_its_edge() -> None:
    text = json.dumps({"__metadata__": {"flowtui": json.dumps({"a": "x"})}}).encode()
    assert unpack(block(text.ljust(MAX_HEADER_BYTES)))[1] == {"a": "x"}
    with pytest.raises(RunFileError, match="too large"):
        unpack(block(text.ljust(MAX_HEADER_BYTES + 8)))


def test_another_programs_block_has_no_metadata() -> None:
    arrays, meta = unpack(save({"x": np.ones(2)}))
    assert meta == {}
    np.testing.assert_array_equal(arrays["x"], np.ones(2))


def test_damaged_blocks_are_arrays_or_one_error() -> None:
    original = pack(
        {"share": np.ones((2, 4), np.float32), "sink": np.zeros(3)}, {"analysis": "attention", "layer": "3"}
    )
    rng, accepted = np.random.default_rng(3), 0
    for _ in range(3000):
        data = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            where = int(rng.integers(0, len(data)))
            if rng.integers(0, 3):
                data[where] = rng.integers(0, 256)
            else:
                del data[where : where + int(rng.integers(1, 5))]
        try:
            arrays, meta = unpack(bytes(data))
        except RunFileError:
            continue
        accepted += 1
        assert all(type(v) is np.ndarray for v in arrays.values())
        assert all(type(k) is type(v) is str for k, v in meta.items())
    assert 100 < accepted < 2900


def test_what_the_reader_repeats_of_a_header_is_one_printable_line() -> None:
    header = b'{"a":{"dtype":"\x7f32","shape":[1],"data_offsets":[0,4]}}'
    with pytest.raises(RunFileError, match="cannot be read") as raised:
        unpack(len(header).to_bytes(8, "little") + header + bytes(4))
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 200
