"""The data-only reader against plain data, a table of hostile pickles and thousands of damaged ones."""

from __future__ import annotations

import collections
import io
import pickle
import pickletools
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest

from flowtui.cache.pickledata import loads
from flowtui.cache.plain import Limits, NotPlainError, check_plain, shown
from flowtui.errors import RunFileError

PLAIN: dict[str, Any] = {
    "none": None,
    "flags": [True, False],
    "ints": [0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**63, -(2**63), 2**500, -(2**500)],
    "floats": [0.0, -0.0, 1.5, 1e308, float("inf"), float("-inf")],
    "text": ["", "a", "ü", "日本語", "\U0001f600", "x" * 300, "\x00\x1b[31m"],
    "bytes": [b"", b"a", bytes(range(256)), b"z" * 70_000],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((((),),),)],
    "dict": {"": {}, "a": {"b": [{"c": ()}]}},
    "long": list(range(2500)),
    "many": {str(i): i for i in range(2500)},
}

# A pickle's head and tail, to hang single instructions between.
HEAD, STOP = b"\x80\x04", b"."


class NoClasses(pickle._Unpickler):
    """The oracle: the standard library's reader without any class, in Python (in C a memo slot takes memory)."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def typed(value: object) -> object:
    """A form in which equal means equal with the same types, -0.0 and NaN included."""
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [typed(v) for v in value]
    if isinstance(value, dict):
        return "dict", [(typed(k), typed(v)) for k, v in value.items()]
    return type(value).__name__, struct.pack(">d", value) if isinstance(value, float) else value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_back_as_it_was(protocol: int) -> None:
    # Protocol 2 has no bytes of its own: it calls a function for them, and that is refused.
    plain = {k: v for k, v in PLAIN.items() if protocol > 2 or k != "bytes"}
    assert typed(loads(pickle.dumps(plain, protocol), "run.pkl")) == typed(plain)


def test_optimised_and_shared_pickles_are_read() -> None:
    shared = ["x", {"y": b"z"}]
    data = pickletools.optimize(pickle.dumps({"a": shared, "b": shared}, 4))
    assert loads(data, "run.pkl") == {"a": shared, "b": shared}


class Evil:
    """Runs a command when the standard library reads it."""

    def __reduce__(self) -> Any:
        return print, ("hostile code was run",)


class WithState:
    def __init__(self) -> None:
        self.x = 1


def nested(opcode: bytes, depth: int) -> bytes:
    return HEAD + b")" + opcode * depth + STOP


def bomb(levels: int) -> bytes:
    """A list that holds the list below it twice, `levels` times: 2**levels values in a few bytes."""
    steps = [b"]\x94"]
    for level in range(levels):
        steps.append(b"]\x94(" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"e")
    return HEAD + b"](" + b"".join(steps) + b"e" + STOP


def text(value: bytes) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value


HOSTILE: dict[str, tuple[bytes, str]] = {
    "GLOBAL": (HEAD + b"cos\nsystem\n" + STOP, "GLOBAL"),
    "STACK_GLOBAL": (HEAD + text(b"os") + text(b"system") + b"\x93" + STOP, "STACK_GLOBAL"),
    "REDUCE": (HEAD + b")" + b")" + b"R" + STOP, "REDUCE"),
    "BUILD": (HEAD + b"}" + b"}" + b"b" + STOP, "BUILD"),
    "INST": (HEAD + b"(ios\nsystem\n" + STOP, "INST"),
    "OBJ": (HEAD + b"(" + b")" + b"o" + STOP, "OBJ"),
    "NEWOBJ": (HEAD + b"))\x81" + STOP, "NEWOBJ"),
    "NEWOBJ_EX": (HEAD + b"))}\x92" + STOP, "NEWOBJ_EX"),
    "EXT1": (HEAD + b"\x82\x01" + STOP, "EXT1"),
    "EXT2": (HEAD + b"\x83\x01\x00" + STOP, "EXT2"),
    "EXT4": (HEAD + b"\x84\x01\x00\x00\x00" + STOP, "EXT4"),
    "PERSID": (HEAD + b"Pid\n" + STOP, "PERSID"),
    "BINPERSID": (HEAD + b"NQ" + STOP, "BINPERSID"),
    "EMPTY_SET": (pickle.dumps({1, 2}, 4), "EMPTY_SET"),
    "FROZENSET": (pickle.dumps(frozenset({1}), 4), "FROZENSET"),
    "BYTEARRAY8": (pickle.dumps(bytearray(b"x"), 5), "BYTEARRAY8"),
    "NEXT_BUFFER": (HEAD + b"\x97" + STOP, "NEXT_BUFFER"),
    "READONLY_BUFFER": (HEAD + b"N\x98" + STOP, "READONLY_BUFFER"),
    "DUP": (HEAD + b"N2" + STOP, "DUP"),
    "POP": (HEAD + b"NN0" + STOP, "POP"),
    "POP_MARK": (HEAD + b"N(N1" + STOP, "POP_MARK"),
    "text INT": (HEAD + b"I1\n" + STOP, "INT"),
    "text LONG": (HEAD + b"L" + b"9" * 100_000 + b"L\n" + STOP, "LONG"),
    "text FLOAT": (HEAD + b"F1.5\n" + STOP, "FLOAT"),
    "text STRING": (HEAD + b"S'\\d'\n" + STOP, "STRING"),
    "text UNICODE": (HEAD + b"V\\ud800\n" + STOP, "UNICODE"),
    "BINSTRING": (HEAD + b"T\x01\x00\x00\x00a" + STOP, "BINSTRING"),
    "text PUT": (HEAD + b"Np0\n" + STOP, "PUT"),
    "text GET": (HEAD + b"N\x94g0\n" + STOP, "GET"),
    "reduce of a class": (pickle.dumps(Evil(), 4), "GLOBAL"),
    "a class of its own": (pickle.dumps(WithState(), 4), "GLOBAL"),
    "numpy array": (pickle.dumps(np.zeros(3), 4), "GLOBAL"),
    "ordered dict": (pickle.dumps(collections.OrderedDict(a=1), 4), "GLOBAL"),
    "complex": (pickle.dumps(1j, 4), "GLOBAL"),
    "range": (pickle.dumps(range(3), 4), "GLOBAL"),
    "memo bomb": (bomb(40), "more than 250000 values"),
    "memo bomb of wide lists": (
        HEAD + b"](]\x94(" + b"N" * 1000 + b"e" + b"h\x00" * 1000 + b"e" + STOP,
        "more than 250000 values",
    ),
    "list in itself": (HEAD + b"]\x94h\x00a" + STOP, "64 levels"),
    "dict in itself": (HEAD + b"}\x94" + text(b"a") + b"h\x00s" + STOP, "64 levels"),
    "tuple in itself": (HEAD + b"]\x94h\x00\x85a" + STOP, "64 levels"),
    "deep tuples": (nested(b"\x85", 100_000), "64 levels"),
    "deep lists": (HEAD + b"]" * 50_000 + b"a" * 49_999 + STOP, "64 levels"),
    "one level too deep": (HEAD + b"]" * 65 + b"a" * 64 + STOP, "64 levels"),
    "endless marks": (HEAD + b"(" * 100_000 + STOP, "exactly one value"),
    "too many steps": (HEAD + b"(" + b"N" * 500_001 + b"l" + STOP, "500000 steps"),
    "too many values": (HEAD + b"](" + b"N" * 250_001 + b"e" + STOP, "more than 250000 values"),
    "int of 65 bytes": (HEAD + b"\x8a\x41" + b"\x01" * 65 + STOP, "larger than 64 bytes"),
    "int of 1 MB": (HEAD + b"\x8b" + struct.pack("<i", 1 << 20) + b"\x01" * (1 << 20) + STOP, "larger than 64 bytes"),
    "int of negative length": (HEAD + b"\x8b\xff\xff\xff\xff" + STOP, "larger than 64 bytes"),
    "huge int never used": (HEAD + b"\x8a\xff" + b"\x01" * 255 + b"\x85N" + STOP, "larger than 64 bytes"),
    "duplicate key": (HEAD + b"}(" + text(b"a") + b"N" + text(b"a") + b"Nu" + STOP, "'a' appears twice"),
    "duplicate key one by one": (HEAD + b"}" + text(b"a") + b"Ns" + text(b"a") + b"Ns" + STOP, "'a' appears twice"),
    "int key": (pickle.dumps({1: 2}, 4), "a key is int"),
    "bytes key": (pickle.dumps({b"a": 2}, 4), "a key is bytes"),
    "tuple key": (pickle.dumps({("a",): 2}, 4), "a key is tuple"),
    "none key": (pickle.dumps({None: 2}, 4), "a key is NoneType"),
    "list key": (HEAD + b"}](Nes" + STOP, ""),
    "key without value": (HEAD + b"}(" + text(b"a") + b"u" + STOP, "no value"),
    "trailing byte": (pickle.dumps({"a": 1}, 4) + b"\x00", "1 bytes follow"),
    "two pickles": (pickle.dumps({}, 4) * 2, "bytes follow"),
    "no end": (HEAD + b"N", "ends before"),
    "empty": (b"", "not a pickle"),
    "only a head": (HEAD, "ends before"),
    "half a head": (b"\x80", ""),
    "protocol 0": (pickle.dumps([1], 0), "not a pickle"),
    "protocol 1": (pickle.dumps([1], 1), "not a pickle"),
    "protocol 6": (b"\x80\x06N.", "protocol 6"),
    "protocol twice": (HEAD + HEAD + b"N.", "protocol 4"),
    "no value": (HEAD + STOP, "exactly one value"),
    "two values": (HEAD + b"NN" + STOP, "exactly one value"),
    "open mark": (HEAD + b"(N" + STOP, "exactly one value"),
    "tuple without mark": (HEAD + b"Nt" + STOP, "not there"),
    "tuple of nothing": (HEAD + b"\x85" + STOP, "not there"),
    "three of two": (HEAD + b"NN\x87" + STOP, "not there"),
    "append to nothing": (HEAD + b"Na" + STOP, "not there"),
    "append to a tuple": (HEAD + b")Na" + STOP, "appends to a tuple"),
    "append to a dict": (HEAD + b"}(Ne" + STOP, "appends to a dict"),
    "item of a list": (HEAD + b"]" + text(b"a") + b"Ns" + STOP, "item of a list"),
    "item of nothing": (HEAD + b"s" + STOP, "not there"),
    "memo slot unknown": (HEAD + b"h\x07" + STOP, "not there"),
    "memo of nothing": (HEAD + b"\x94" + STOP, "not there"),
    "short text": (HEAD + b"\x8c\x10abc", "cut short"),
    "short bytes": (HEAD + b"B\xff\xff\xff\x7fabc", "cut short"),
    "bytes of 2**63": (HEAD + b"\x8e" + b"\xff" * 8 + b"abc", "cut short"),
    "text of 2**62": (HEAD + b"\x8d" + struct.pack("<Q", 1 << 62) + b"abc", "cut short"),
    "short float": (HEAD + b"G\x00\x00", "cut short"),
    "short int": (HEAD + b"J\x00", "cut short"),
    "frame beyond the end": (HEAD + b"\x95" + struct.pack("<Q", 1 << 40) + b"N.", "cut short"),
    "text that is not UTF-8": (HEAD + text(b"\xff\xfe") + STOP, "not valid UTF-8"),
    "half a character": (HEAD + text("\ud800".encode("utf-8", "surrogatepass")) + STOP, "not valid UTF-8"),
    "unknown instruction": (HEAD + b"\xff" + STOP, "no pickle instruction"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\x00" * 100, "not a pickle"),
    "a zip": (b"PK\x03\x04" + b"\x00" * 100, "not a pickle"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_one_clear_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data, reason = HOSTILE[name]
    with pytest.raises(RunFileError) as caught:
        loads(data, "evil.pkl")
    assert caught.value.message.startswith("evil.pkl is refused: ")
    assert reason in caught.value.message
    assert caught.value.hint
    # Short, and one line: it is shown in a terminal.
    assert len(caught.value.message) < 300
    assert caught.value.message.isprintable()
    assert capsys.readouterr() == ("", "")


def test_every_opcode_is_either_data_or_refused() -> None:
    # The oracle lists what data needs; a new opcode of a later Python must not slip in.
    data = (
        "PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINUNICODE "
        "BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE1 TUPLE2 "
        "TUPLE3 TUPLE EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET"
    )
    for info in pickletools.opcodes:
        with pytest.raises(RunFileError) as caught:
            loads(HEAD + info.code.encode("latin-1"), "x")
        assert (f"instruction {info.name} " in caught.value.message) == (f" {info.name} " not in f" {data} "), info.name


def test_limits_hold_at_their_edges() -> None:
    inside = [
        (Limits(file_bytes=100), pickle.dumps("x" * 80, 4)),
        (Limits(depth=3), pickle.dumps([[[]]], 4)),
        (Limits(nodes=4), pickle.dumps([1, 2, 3], 4)),
        (Limits(int_bytes=2), pickle.dumps(32767, 4)),
        (Limits(text_chars=5), pickle.dumps("ü" * 5, 4)),
        (Limits(blob_bytes=5), pickle.dumps(b"x" * 5, 4)),
        (Limits(opcodes=5), HEAD + b"]Na."),
    ]
    outside = [
        (Limits(file_bytes=90), pickle.dumps("x" * 80, 4)),
        (Limits(depth=2), pickle.dumps([[[]]], 4)),
        (Limits(nodes=3), pickle.dumps([1, 2, 3], 4)),
        (Limits(int_bytes=2), pickle.dumps(32768, 4)),
        (Limits(text_chars=4), pickle.dumps("ü" * 5, 4)),
        (Limits(blob_bytes=4), pickle.dumps(b"x" * 5, 4)),
        (Limits(opcodes=5), HEAD + b"]NaNa."),
    ]
    for limits, data in inside:
        loads(data, "x", limits)
    for limits, data in outside:
        with pytest.raises(RunFileError):
            loads(data, "x", limits)


def test_shared_bytes_count_each_time() -> None:
    blob = b"x" * 1000
    data = pickle.dumps([blob] * 50, 4)
    assert len(data) < 2000
    loads(data, "x", Limits(file_bytes=50_000))
    with pytest.raises(RunFileError, match="add up to more"):
        loads(data, "x", Limits(file_bytes=49_999))


def test_bombs_are_refused_without_expanding_them() -> None:
    # 2**200 values: a reader that visits each would never come back.
    with pytest.raises(RunFileError, match="64 levels"):
        loads(bomb(200), "x")


def test_the_message_shows_control_characters_of_the_name() -> None:
    with pytest.raises(RunFileError, match=r"evil\\x1b\[31m\.pkl is refused"):
        loads(b"", "evil\x1b[31m.pkl")
    assert shown("a\nb\u202e") == "a\\nb\\u202e"
    assert shown("schön.pkl") == "schön.pkl"


def sample() -> bytes:
    rng = np.random.default_rng(5)
    plain = {
        "format": "flowtui-run",
        "ids": rng.integers(0, 40_000, 40).tolist(),
        "text": ["<s>", "Wörter", "\n"],
        "blobs": [rng.bytes(40), rng.bytes(300)],
        "numbers": (1.5, -2, None, True, 2**70),
        "nested": {"a": [{"b": ({},)}]},
    }
    data = pickle.dumps(plain, 4)
    # Without its frame: damage to a frame's length is the one thing on which the two standard readers disagree.
    assert data[2:3] == b"\x95"
    return data[:2] + data[11:]


@pytest.mark.filterwarnings("ignore")
def test_damaged_pickles_are_plain_data_or_one_error() -> None:
    # Only RunFileError may come out; what is accepted must be what the standard library reads, to the type and bit.
    original, accepted = sample(), 0
    rng = np.random.default_rng(11)
    for _ in range(6000):
        data = bytearray(original)
        for _ in range(rng.integers(1, 4)):
            where = int(rng.integers(0, len(data)))
            match rng.integers(0, 5):
                case 0:
                    data[where] = rng.integers(0, 256)
                case 1:
                    data[where] ^= 1 << int(rng.integers(0, 8))
                case 2:
                    del data[where : where + int(rng.integers(1, 9))]
                case 3:
                    data[where:where] = rng.bytes(int(rng.integers(1, 5)))
                case _:
                    start = int(rng.integers(0, len(data)))
                    data[where:where] = data[start : start + 12]
            if not data:
                break
        try:
            value = loads(bytes(data), "damaged.pkl")
        except RunFileError:
            continue
        accepted += 1
        check_plain(value)
        assert typed(value) == typed(NoClasses(io.BytesIO(bytes(data))).load())
    # Damage inside blobs and numbers keeps the data plain: neither outcome may be the only one.
    assert 500 < accepted < 5500


@pytest.mark.parametrize("length", [*range(60), 200, 400])
def test_truncated_pickles_are_refused(length: int) -> None:
    with pytest.raises(RunFileError):
        loads(sample()[:length], "short.pkl")


@pytest.mark.parametrize(
    "value", [{1}, object(), np.float32(1), np.zeros(2), {1: 2}, [bytearray()], "\ud800", True + 1j, 1 << 600]
)
def test_check_plain_refuses_what_is_not_plain(value: object) -> None:
    with pytest.raises(NotPlainError):
        check_plain({"x": value})


def test_check_plain_takes_exact_types_only() -> None:
    class Text(str):
        __slots__ = ()

    class Whole(int):
        pass

    class Pair(NamedTuple):
        x: int

    for value in (Text("x"), Whole(1), collections.OrderedDict[str, int](), Pair(1)):
        with pytest.raises(NotPlainError):
            check_plain([value])
