"""Run files and sweeps of plain data that say what is not so: sizes, types, headers of tensors, names of the future."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from flowtui.cache.runfile import write_plain
from tests.factories import random_run, random_sweep
from tests.trust.attacks.attack import Attack, command

Plain = dict[str, Any]


@lru_cache
def _run() -> Plain:
    return random_run(layers=2, heads=2, grid=(2, 2)).to_plain()


@lru_cache
def _sweep() -> Plain:
    return random_sweep(layers=2, items=4, cliff=1).to_plain()


def _tensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(data) if length is None else length) + data + body


def _tensor(**changed: object) -> dict[str, Any]:
    meta = {"flowtui": json.dumps({"analysis": "cam", "layer": "0", "text": ""})}
    return {"__metadata__": meta, "heat": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **changed}}


ENTRIES: dict[str, object] = {
    "no header": b"",
    "a header of 2**63 bytes": _tensors(_tensor(), bytes(64), 1 << 63),
    "a header of all bytes": _tensors(_tensor(), bytes(64), 1 << 20),
    "a header larger than allowed": _tensors(b" " * (1 << 20) + b"{}", b""),
    "a tensor of 2**40 numbers": _tensors(_tensor(shape=[1 << 20, 1 << 20], data_offsets=[0, 1 << 42])),
    "sizes whose product overflows": _tensors(_tensor(shape=[1 << 33, 1 << 33, 1 << 33]), bytes(64)),
    "a negative size": _tensors(_tensor(shape=[-4, -4]), bytes(64)),
    "offsets beyond the end": _tensors(_tensor(data_offsets=[1 << 30, (1 << 30) + 64]), bytes(64)),
    "offsets backwards": _tensors(_tensor(data_offsets=[64, 0]), bytes(64)),
    "tensors over each other": _tensors({**_tensor(), "share": _tensor()["heat"]}, bytes(64)),
    "bytes of no tensor": _tensors(_tensor(), bytes(128)),
    "a type that is none": _tensors(_tensor(dtype="PICKLE"), bytes(64)),
    "a type with code in its name": _tensors(
        _tensor(dtype="__import__('os').system('touch flowtui-canary')"), bytes(64)
    ),
    "nested lists": _tensors(b"[" * 100_000, b""),
    "nested tables": _tensors(b'{"a":' * 100_000, b""),
    "the same name twice": _tensors(b'{"a":{},"a":{}}', b""),
    "no UTF-8": _tensors(b"\xff\xfe{}", b""),
    "numbers that are none": _tensors(_tensor(), struct.pack("<16f", *[float("nan")] * 16)),
    "endless numbers": _tensors(_tensor(), struct.pack("<16f", *[float("inf")] * 16)),
    "metadata that is no text": _tensors({**_tensor(), "__metadata__": {"flowtui": [1]}}, bytes(64)),
    "metadata that nests": _tensors({**_tensor(), "__metadata__": {"flowtui": "[" * 90_000}}, bytes(64)),
    "a layer that is none": _tensors(
        {**_tensor(), "__metadata__": {"flowtui": json.dumps({"analysis": "cam", "layer": "9" * 5000, "text": ""})}},
        bytes(64),
    ),
    "text in place of bytes": "x",
    "a list in place of bytes": [[]],
}
"""What stands for the first layer of an analysis."""

LONG = "x" * 200_000
LIES: dict[str, tuple[tuple[str | int, ...], object]] = {
    "another format": (("format",), "flowtui-walk"),
    "a version of the future": (("version",), 10**60),
    "a version that is text": (("version",), LONG),
    "remote code": (("spec", "trust_remote_code"), True),
    "a field of the future": (("spec", "extra"), 1),
    "no images": (("spec", "images"), []),
    "images that are text": (("spec", "images"), ["x"]),
    "an image that is none": (("spec", "images"), [b"GIF89a"]),
    "an image of 10**10 pixels": (
        ("spec", "images"),
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0\x00\x00\x00\x00"],
    ),
    "a question of many characters": (("spec", "question"), LONG),
    "a question of steering characters": (("spec", "question"), "\x1b]52;c;AAAA\x07" * 1000),
    "a question that is no text": (("spec", "question"), 5),
    "an unknown grouping": (("spec", "grouping"), LONG),
    "a device that is none": (("spec", "device"), LONG),
    "endless new tokens": (("spec", "max_new_tokens"), 2**62),
    "new tokens that are text": (("spec", "max_new_tokens"), LONG),
    "a model with a path": (("spec", "model"), "../../../../etc/passwd"),
    "a model with an address": (("spec", "model"), "file:///etc/passwd"),
    "a model's name of many characters": (("model", "name"), LONG),
    "10**12 layers": (("model", "layers"), 10**12),
    "no layers": (("model", "layers"), 0),
    "layers that are true": (("model", "layers"), True),
    "10**12 heads": (("model", "heads"), 10**12),
    "a folder in the model": (("model", "directory"), "/etc"),
    "a self-test that is no number": (("model", "self_test_error"), float("nan")),
    "fewer ids than tokens": (("tokens", "ids"), [1, 2]),
    "ids beyond 64 bits": (("tokens", "ids", 0), 2**64),
    "an id that is text": (("tokens", "ids", 0), "1"),
    "a group that is none": (("tokens", "group", 0), 200),
    "a span of 2**62 rows": (("tokens", "spans", 0, "rows"), 2**62),
    "a span of less than nothing": (("tokens", "spans", 0, "rows"), -1),
    "a span of 2**31 steps": (("tokens", "spans", 0, "row_stride"), 2**31),
    "a span behind the end": (("tokens", "spans", 0, "end"), 2**40),
    "a span of another image": (("tokens", "spans", 0, "image"), 99),
    "a rectangle without end": (("tokens", "spans", 0, "box_px"), [0.0, 0.0, float("inf"), 1.0]),
    "a rectangle of 10**300 pixels": (("tokens", "spans", 0, "box_px"), [-1e300, -1e300, 1e300, 1e300]),
    "the answer at the start": (("tokens", "answer_start"), 0),
    "the answer behind the end": (("tokens", "answer_start"), 10**9),
    "an answer of other tokens": (("answer", "ids"), [7, 7, 7]),
    "an answer of fewer texts": (("answer", "tokens"), []),
    "an image of 10**18 pixels": (("image_sizes",), [[10**9, 10**9]]),
    "an image without pixels": (("image_sizes",), [[0, 0]]),
    "more sizes than images": (("image_sizes",), [[1, 1]] * 1000),
    "an unknown analysis": (("analyses", LONG), {"parameters": {}, "seconds": 0.0, "layers": []}),
    "an unknown parameter": (("analyses", "cam", "parameters"), {"code": LONG}),
    "10**9 copies": (("analyses", "cam", "parameters", "copies"), 10**9),
    "a choice that is a list": (("analyses", "cam", "parameters", "variant"), [[]]),
    "layers that are a text": (("analyses", "cam", "layers"), "x"),
    "a time that is no number": (("analyses", "cam", "seconds"), float("nan")),
    "timings without end": (("timings_s",), {"load": float("inf")}),
    "timings that are text": (("timings_s",), {LONG: LONG}),
}
"""Where, and what stands there instead."""

SWEEP_LIES: dict[str, tuple[tuple[str | int, ...], object]] = {
    "a version of the future": (("version",), LONG),
    "items that nest": (("items",), b"[" * 100_000),
    "items that nest as tables": (("items",), b'{"a":' * 100_000),
    "items that are no JSON": (("items",), b"\n\n"),
    "items that are not ASCII": (("items",), b"\xff"),
    "items that are text": (("items",), LONG),
    "items with numbers that are none": (("items",), b'{"id": NaN}'),
    "items with a long id": (("items",), json.dumps({"id": LONG, "truth": 1}).encode()),
    "no curves": (("curves",), []),
    "a curve of one strategy twice": (("curves", 1, "strategy"), "all"),
    "a strategy of many characters": (("curves", 0, "strategy"), LONG),
    "a curve without arrays": (("curves", 0, "arrays"), b""),
    "a curve that claims 2**40 numbers": (("curves", 0, "arrays"), ENTRIES["a tensor of 2**40 numbers"]),
    "10**12 layers": (("model", "layers"), 10**12),
    "layers of another model": (("model", "layers"), 100_000),
    "options that nest": (("options",), {"a": {"b": {"c": [[[[]]]]}}}),
    "options that are none": (("options",), None),
    "metrics that are none": (("metrics",), [[1, 2]]),
    "a data set's name that steers": (("dataset",), "\x1b]52;c;AAAA\x07"),
    "traits that nest": (("traits",), ENTRIES["nested lists"]),
    "traits that are text": (("traits",), LONG),
}


def _put(plain: Plain, where: tuple[str | int, ...], value: object) -> Plain:
    changed = copy.deepcopy(plain)
    target: Any = changed
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    return changed


def _lying(make: Callable[[], Plain], where: tuple[str | int, ...], value: object) -> None:
    """Either refused, or of use to every command that opens it."""
    path = Path("evil.pkl")
    write_plain(path, _put(make(), where, value))
    command("explore", path, codes=(2, 3))
    if command("show", path, codes=(0, 3)).startswith("flowtui: "):
        return
    command("show", path, "--json", codes=(0, 2, 3))
    command("show", path, "--csv", codes=(0, 2, 3))
    command("show", path, "--box", "0,0,1,1", codes=(0, 2, 3))
    for format in ("csv", "json", "svg", "png"):
        command("export", path, "-o", f"out-{format}", "--format", format, codes=(0, 2, 3))


def attacks() -> list[Attack]:
    """All of them."""
    entry = ("analyses", "cam", "layers", 0)
    found = [
        Attack("run files", f"tensors: {name}", partial(_lying, _run, entry, value)) for name, value in ENTRIES.items()
    ]
    found += [Attack("run files", f"lies: {name}", partial(_lying, _run, *lie)) for name, lie in LIES.items()]
    found += [Attack("sweeps", name, partial(_lying, _sweep, *lie)) for name, lie in SWEEP_LIES.items()]
    return found
