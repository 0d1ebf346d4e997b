"""Cache keys: the same for the same computation, different for any different one."""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any

import numpy as np
import pytest

from flowtui.cache.keys import layer_key
from flowtui.errors import CacheError

BASE: dict[str, Any] = {
    "fingerprint": "f" * 32,
    "processor": "p",
    "dtype": "float32",
    "token_ids": [1, 2, 3],
    "images": [b"one", b"two"],
    "answer_ids": [3],
    "analysis": "cam",
    "parameters": {"site": "input", "noise": 0.1, "seed": 0, "per_token": True, "r": None},
    "layer": 4,
    "schema": 2,
}

OTHERS: list[dict[str, Any]] = [
    {"fingerprint": "e" * 32},
    {"processor": "q"},
    {"fingerprint": "f" * 31, "processor": "fp"},
    {"dtype": "float16"},
    {"token_ids": [1, 2, 4]},
    {"token_ids": [1, 2]},
    {"token_ids": [1, 2, 3, 3], "answer_ids": []},
    {"images": [b"one"]},
    {"images": [b"onetwo"]},
    {"images": [b"on", b"etwo"]},
    {"images": [b"two", b"one"]},
    {"images": []},
    {"answer_ids": []},
    {"answer_ids": [4]},
    {"analysis": "attention"},
    {"parameters": {}},
    {"parameters": {**BASE["parameters"], "seed": 1}},
    {"parameters": {**BASE["parameters"], "seed": False}},
    {"parameters": {**BASE["parameters"], "seed": "0"}},
    {"parameters": {**BASE["parameters"], "seed": 0.0}},
    {"parameters": {**BASE["parameters"], "noise": 0.1 + 2**-55}},
    {"parameters": {**BASE["parameters"], "r": "None"}},
    {"parameters": {**BASE["parameters"], "extra": None}},
    {"layer": 5},
    {"layer": 0},
    {"schema": 3},
]


def test_every_argument_counts() -> None:
    keys = [layer_key(**{**BASE, **other}) for other in ({}, *OTHERS)]
    for (i, a), (j, b) in itertools.combinations(enumerate(keys), 2):
        assert a != b, (i, j)


def test_equal_computations_share_a_key() -> None:
    key = layer_key(**BASE)
    same: list[dict[str, Any]] = [
        {"token_ids": np.array([1, 2, 3])},
        {"token_ids": (1, 2, 3), "answer_ids": np.array([3], dtype=np.int32)},
        {"images": (b"one", b"two")},
        {"images": [bytearray(b"one"), b"two"]},
        {"parameters": dict(reversed(BASE["parameters"].items()))},
        {"layer": np.int64(4)},
    ]
    for other in same:
        assert layer_key(**{**BASE, **other}) == key
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")


def test_the_encoding_does_not_drift() -> None:
    # Worked out by hand from the encoding's description. A change here must come with a new schema version.
    def block(letter: str, content: bytes) -> bytes:
        return letter.encode() + len(content).to_bytes(8, "little") + content

    def text(value: str) -> bytes:
        return block("s", value.encode())

    fields = {
        "analysis": text("cam"),
        "answer_ids": block("b", b"\x07" + bytes(7)),
        "dtype": text("float32"),
        "fingerprint": text("w"),
        "images": block("l", block("b", hashlib.blake2b(b"png", digest_size=32).digest())),
        "layer": block("i", b"1f"),
        "parameters": block("d", text("per_token") + block("c", b"True")),
        "processor": text("p"),
        "schema": block("i", b"2"),
        "token_ids": block("b", b"\x05" + bytes(7) + b"\x07" + bytes(7)),
    }
    encoded = block("d", b"".join(text(name) + fields[name] for name in sorted(fields)))
    expected = hashlib.blake2b(encoded, digest_size=32, person=b"flowtui-layer").hexdigest()
    found = layer_key(
        fingerprint="w",
        processor="p",
        dtype="float32",
        token_ids=[5, 7],
        images=[b"png"],
        answer_ids=[7],
        analysis="cam",
        parameters={"per_token": True},
        layer=31,
    )
    assert found == expected


def test_random_contents_do_not_collide_where_their_json_differs() -> None:
    rng = np.random.default_rng(2)

    def value(depth: int) -> Any:
        kind = rng.integers(0, 6 if depth else 4)
        if kind < 4:
            return [None, int(rng.integers(0, 2)), str(rng.integers(0, 2)), bool(rng.integers(0, 2))][kind]
        items = [value(depth - 1) for _ in range(rng.integers(0, 3))]
        return items if kind == 4 else {str(i): v for i, v in enumerate(items)}

    seen: dict[str, str] = {}
    for _ in range(3000):
        parameters = {"x": value(3)}
        key, content = layer_key(**{**BASE, "parameters": parameters}), json.dumps(parameters, sort_keys=True)
        assert seen.setdefault(key, content) == content
        assert len(set(seen.values())) == len(seen)


@pytest.mark.parametrize("bad", [{"parameters": {"x": object()}}, {"parameters": {"x": {1: 2}}}, {"token_ids": [1.5]}])
def test_what_is_not_plain_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(CacheError):
        layer_key(**{**BASE, **bad})
