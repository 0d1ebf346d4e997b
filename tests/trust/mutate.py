"""Damage for files: to raw bytes, to a pickle's instructions, and to the plain data before it is pickled."""

from __future__ import annotations

import pickle
import pickletools
import random
import struct
from typing import Any

EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)

# What a hostile pickle is made of: each is put between the instructions of a good one.
SNIPPETS = (
    *(b"cos\nsystem\n", b"cbuiltins\neval\n", b"\x8c\x02os\x8c\x06system\x93", b"R", b")R", b"b", b"}b", b"\x81"),
    *(b"(ios\nsystem\n", b"(o", b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"Pid\n", b"Q", b"\x97"),
    *(b"\x98", b"\x92", b"\x8f", b"(\x91", b"(\x90", b"\x96" + b"\xff" * 8, b"2", b"0", b"1", b"I01\n", b"L9L\n"),
    *(b"F1e999\n", b"S'\\x00'\n", b"V\\ud800\n", b"p0\n", b"g0\n", b"T\xff\xff\xff\xff", b"U\x01a"),
    *(b"N", b"\x88", b"(", b"]", b"}", b")", b"t", b"e", b"u", b"a", b"s", b"\x85", b"\x86", b"\x87", b"\x94", b"."),
    *(
        b"h\x00",
        b"j\x00\x00\x00\x00",
        b"q\xff",
        b"r\xff\xff\xff\xff",
        b"\x8a\xff" + b"\x7f" * 255,
        b"\x8b\xff\xff\xff\x7f",
    ),
    *(b"X\xff\xff\xff\x7f", b"\x8d" + b"\xff" * 8, b"\x8e" + b"\xff" * 7 + b"\x7f", b"B\xff\xff\xff\xff"),
    *(b"\x8a\xff" + b"\x7f" * 255, b"I1\n"),
    *(b"\x95" + b"\xff" * 8, b"\x95" + b"\x00" * 8, b"\x80\x05", b"\x80\xff", b"G\x7f\xf8\x00\x00\x00\x00\x00\x00"),
    *(b"]\x94h\x00a", b"}\x94\x8c\x01ah\x00s", b"\x8c\x03\xed\xa0\x80", b"\x8c\x01\x1b", b"J\xff\xff\xff\xff"),
)


def bytes_damaged(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """One to four changes to the raw bytes; `other` is spliced in now and then."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        where = rng.randrange(len(out) + 1) if out else 0
        start = rng.randrange(len(data)) if data else 0
        length = rng.choice((1, 2, 4, 8, 16, 64, 400))
        match rng.randrange(8):
            case 0 if where < len(out):
                out[where] = rng.randrange(256)
            case 1 if where < len(out):
                out[where] ^= 1 << rng.randrange(8)
            case 2:
                del out[where : where + length]
            case 3:
                out[where:where] = rng.randbytes(min(length, 16))
            case 4:
                out[where:where] = data[start : start + length]
            case 5:
                out[where : where + 8] = _edge(rng)
            case 6:
                del out[where:]
            case _:
                out[where:] = (other or data)[start:]
    return bytes(out)


def steps_of(data: bytes) -> list[bytes]:
    """A good pickle's instructions, one by one, without frames."""
    starts = [(info.name, position) for info, _, position in pickletools.genops(data)]
    ends = [position for _, position in starts[1:]] + [len(data)]
    return [data[start:end] for (name, start), end in zip(starts, ends, strict=True) if name != "FRAME"]


def steps_damaged(steps: list[bytes], rng: random.Random) -> bytes:
    """One to five changes to the instructions: dropped, doubled, swapped, put in, or with another argument."""
    out = list(steps)
    for _ in range(rng.randint(1, 5)):
        where = rng.randrange(len(out))
        match rng.randrange(8):
            case 0 if len(out) > 1:
                del out[where]
            case 1:
                out.insert(where, out[where])
            case 2:
                other = rng.randrange(len(out))
                out[where], out[other] = out[other], out[where]
            case 3:
                start = rng.randrange(len(out))
                out[where:where] = out[start : start + rng.randint(1, 30)]
            case 4:
                step = out[where]
                out[where] = step[:1] + _edge(rng)[: max(0, len(step) - 1)]
            case 5:
                out[where] = bytes_damaged(out[where], rng)
            case _:
                out.insert(where, rng.choice(SNIPPETS) * rng.choice((1, 1, 1, 2, 70, 3000)))
    return b"".join(out)


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 255, 10**6, 1 << 31, 1 << 63, -(1 << 63), 1 << 500, 0.0, -0.5, 1e308),
    *(
        float("nan"),
        float("inf"),
        "",
        "a",
        "x" * 5000,
        "\x1b]52;c;AAAA\x07",
        "\u202e",
        "\x00",
        "demo",
        "../../etc/passwd",
    ),
    *(
        b"",
        b"\x00",
        b"\x89PNG\r\n\x1a\n",
        b"\xff" * 300,
        [],
        (),
        {},
        [[]],
        [None] * 300,
        {"": None},
        [1e9] * 40,
        {"a": {}},
    ),
)


def plain_damaged(plain: Any, rng: random.Random) -> Any:
    """Plain data with one to three values changed, dropped, added or moved; what is damaged is copied."""
    for _ in range(rng.randint(1, 3)):
        plain = _damaged(plain, rng, plain)
    return plain


def _damaged(value: Any, rng: random.Random, root: Any) -> Any:
    if type(value) in (list, tuple, dict) and value and rng.random() < 0.9:
        keys = list(value) if type(value) is dict else range(len(value))
        key = rng.choice(keys)
        copy = dict(value) if type(value) is dict else list(value)
        if rng.random() < 0.85:
            copy[key] = _damaged(copy[key], rng, root)
        elif rng.random() < 0.5:
            del copy[key]
        elif type(copy) is dict:
            copy[rng.choice(("", "x", "layers", "version", "0", str(key) + "\n"))] = copy[key]
        else:
            copy.insert(key, copy[rng.randrange(len(copy))])
        return tuple(copy) if type(value) is tuple else copy
    match rng.randrange(4):
        case 0 if type(value) is bytes:
            return tensors_damaged(value, rng)
        case 1 if type(value) is int:
            return rng.choice((value + 1, value - 1, -value, value * 1000, float(value), str(value)))
        case 2 if type(value) is str:
            return rng.choice((value[1:], value * 2, value + "\x1b[31m", value.encode(), [value]))
        case 3:
            return _some_part(root, rng)
        case _:
            return rng.choice(ODD)


def tensors_damaged(block: bytes, rng: random.Random) -> bytes:
    """A safetensors block with a changed header (numbers, names, types) or changed bytes."""
    if len(block) < 8 or rng.random() < 0.3:
        return bytes_damaged(block, rng)
    (length,) = struct.unpack_from("<Q", block)
    header = block[8 : 8 + length]
    for _ in range(rng.randint(1, 2)):
        old, new = rng.choice(
            (
                *((b"F32", b"F64"), (b"F32", b"I32"), (b"F32", b"BOOL"), (b"F32", b"BF16"), (b"1", b"0"), (b"1", b"2")),
                *((b"2", b"4294967296"), (b"[", b"[0,"), (b"]", b",1]"), (b"0", b"-1"), (b'":{', b'x":{'), (b"}", b"")),
                *((b"[", b"[" * 500), (b"flowtui", b"flowtuj"), (b"1", b"18446744073709551615"), (b'"', b'\\"')),
            )
        )
        header = header.replace(old, new, rng.choice((1, 1, 3, -1)))
    claimed = rng.choice((len(header),) * 6 + EDGES)
    return struct.pack("<Q", claimed) + header + block[8 + length :]


def _some_part(root: Any, rng: random.Random) -> Any:
    value = root
    while type(value) in (list, tuple, dict) and value and rng.random() < 0.8:
        value = rng.choice(list(value.values()) if type(value) is dict else value)
    return value


def _edge(rng: random.Random) -> bytes:
    return struct.pack(rng.choice(("<Q", ">Q")), rng.choice(EDGES))


def pickled(plain: Any, rng: random.Random) -> bytes:
    """Plain data as one of the pickles that Python would make of it."""
    return pickle.dumps(plain, rng.choice((3, 4, 4, 4, 5)))
