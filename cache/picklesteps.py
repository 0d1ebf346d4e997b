"""What each instruction of a pickle of plain data does: makes plain data. None looks anything up or calls anything.

An instruction that is not on the list is refused; `pickledata` runs them.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any

from .plain import Limits, NotPlainError

CUT = "it is cut short in the middle of a value"


class Machine:
    """The pickle machine's data, stack, marks and memo."""

    __slots__ = ("data", "limits", "marks", "memo", "size", "stack")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.limits = limits
        self.size = len(data)
        self.data = data
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def pop_mark(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items


Step = Callable[[Machine, int], int]
"""Carries out the instruction whose argument begins at a position; returns where the next one begins."""

_Unpack = Callable[[bytes, int], tuple[Any, ...]]
"""Reads one number at a position; `struct.error` where the data ends before it does."""

_BYTE = struct.Struct("<B").unpack_from
_FOUR = struct.Struct("<I").unpack_from
_EIGHT = struct.Struct("<Q").unpack_from


def _refused(machine: Machine, at: int) -> int:
    code = chr(machine.data[at - 1])
    for info in pickletools.opcodes:
        if info.code == code:
            raise NotPlainError(
                f"it holds the instruction {info.name} (at byte {at - 1}), which plain data never needs"
            )
    raise NotPlainError(f"byte {at - 1} is no pickle instruction")


def _proto(machine: Machine, at: int) -> int:
    (version,) = _BYTE(machine.data, at)
    if at != 1 or not 2 <= version <= 5:
        raise NotPlainError(f"it declares pickle protocol {version} at byte {at - 1}")
    return at + 1


def _frame(machine: Machine, at: int) -> int:
    if at + 8 + _EIGHT(machine.data, at)[0] > machine.size:
        raise NotPlainError(CUT)
    return at + 8


def _mark(machine: Machine, at: int) -> int:
    machine.marks.append(machine.stack)
    machine.stack = []
    return at


def _constant(value: object) -> Step:
    def push(machine: Machine, at: int) -> int:
        machine.stack.append(value)
        return at

    return push


def _number(unpack: _Unpack, size_bytes: int) -> Step:
    def push(machine: Machine, at: int) -> int:
        machine.stack.extend(unpack(machine.data, at))
        return at + size_bytes

    return push


def _long(unpack: _Unpack, length_bytes: int) -> Step:
    def push(machine: Machine, at: int) -> int:
        length: int = unpack(machine.data, at)[0]
        # Before it is made: a stray one that is never used costs nothing either.
        if length > machine.limits.int_bytes:
            raise NotPlainError(f"a whole number is larger than {machine.limits.int_bytes} bytes")
        start, end = at + length_bytes, at + length_bytes + length
        if end > machine.size:
            raise NotPlainError(CUT)
        machine.stack.append(int.from_bytes(machine.data[start:end], "little", signed=True))
        return end

    return push


def _text(unpack: _Unpack, length_bytes: int) -> Step:
    def push(machine: Machine, at: int) -> int:
        length: int = unpack(machine.data, at)[0]
        start, end = at + length_bytes, at + length_bytes + length
        if end > machine.size:
            raise NotPlainError(CUT)
        # No character takes more than four bytes.
        if length > 4 * machine.limits.text_chars:
            raise NotPlainError(f"a text is longer than {machine.limits.text_chars} characters")
        try:
            machine.stack.append(machine.data[start:end].decode())
        except UnicodeDecodeError:
            raise NotPlainError(f"the text at byte {start} is not valid UTF-8") from None
        return end

    return push


def _blob(unpack: _Unpack, length_bytes: int) -> Step:
    def push(machine: Machine, at: int) -> int:
        length: int = unpack(machine.data, at)[0]
        start, end = at + length_bytes, at + length_bytes + length
        if end > machine.size:
            raise NotPlainError(CUT)
        if length > machine.limits.blob_bytes:
            raise NotPlainError(f"a bytes value is larger than {machine.limits.blob_bytes} bytes")
        machine.stack.append(machine.data[start:end])
        return end

    return push


def _small_tuple(length: int) -> Step:
    def push(machine: Machine, at: int) -> int:
        items = tuple(machine.stack[-length:])
        if len(items) != length:
            raise IndexError
        machine.stack[-length:] = [items]
        return at

    return push


def _empty_list(machine: Machine, at: int) -> int:
    machine.stack.append([])
    return at


def _empty_dict(machine: Machine, at: int) -> int:
    machine.stack.append({})
    return at


def _tuple(machine: Machine, at: int) -> int:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))
    return at


def _append(machine: Machine, at: int) -> int:
    value = machine.stack.pop()
    _list_below(machine).append(value)
    return at


def _appends(machine: Machine, at: int) -> int:
    items = machine.pop_mark()
    _list_below(machine).extend(items)
    return at


def _list_below(machine: Machine) -> list[Any]:
    target = machine.stack[-1]
    if type(target) is not list:
        raise NotPlainError(f"it appends to a {type(target).__name__}")
    return target


def _setitem(machine: Machine, at: int) -> int:
    value, key = machine.stack.pop(), machine.stack.pop()
    target = machine.stack[-1]
    if type(target) is dict and type(key) is str and key not in target:
        target[key] = value
    else:
        _update(machine, [key, value])
    return at


def _setitems(machine: Machine, at: int) -> int:
    _update(machine, machine.pop_mark())
    return at


def _update(machine: Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not dict:
        raise NotPlainError(f"it sets an item of a {type(target).__name__}")
    if len(items) % 2:
        raise NotPlainError("a key has no value")
    keys = items[::2]
    if keys and set(map(type, keys)) != {str}:
        kind = next(type(key).__name__ for key in keys if type(key) is not str)
        raise NotPlainError(f"a key is {kind}, not text")
    if len(set(keys)) < len(keys) or not target.keys().isdisjoint(keys):
        seen = set(target)
        for key in keys:
            if key in seen:
                raise NotPlainError(f"the key {key[:40]!r} appears twice")
            seen.add(key)
    target.update(zip(keys, items[1::2], strict=True))


def _put(unpack: _Unpack, index_bytes: int) -> Step:
    def put(machine: Machine, at: int) -> int:
        machine.memo[unpack(machine.data, at)[0]] = machine.stack[-1]
        return at + index_bytes

    return put


def _memoize(machine: Machine, at: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return at


def _get(unpack: _Unpack, index_bytes: int) -> Step:
    def get(machine: Machine, at: int) -> int:
        machine.stack.append(machine.memo[unpack(machine.data, at)[0]])
        return at + index_bytes

    return get


_HANDLERS: dict[str, Step] = {
    "PROTO": _proto,
    "FRAME": _frame,
    "MARK": _mark,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "BININT": _number(struct.Struct("<i").unpack_from, 4),
    "BININT1": _number(_BYTE, 1),
    "BININT2": _number(struct.Struct("<H").unpack_from, 2),
    "LONG1": _long(_BYTE, 1),
    "LONG4": _long(_FOUR, 4),  # signed, but less than nothing is refused like too much
    "BINFLOAT": _number(struct.Struct(">d").unpack_from, 8),
    "SHORT_BINUNICODE": _text(_BYTE, 1),
    "BINUNICODE": _text(_FOUR, 4),
    "BINUNICODE8": _text(_EIGHT, 8),
    "SHORT_BINBYTES": _blob(_BYTE, 1),
    "BINBYTES": _blob(_FOUR, 4),
    "BINBYTES8": _blob(_EIGHT, 8),
    "EMPTY_LIST": _empty_list,
    "APPEND": _append,
    "APPENDS": _appends,
    "EMPTY_TUPLE": _constant(()),
    "TUPLE1": _small_tuple(1),
    "TUPLE2": _small_tuple(2),
    "TUPLE3": _small_tuple(3),
    "TUPLE": _tuple,
    "EMPTY_DICT": _empty_dict,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "BINPUT": _put(_BYTE, 1),
    "LONG_BINPUT": _put(_FOUR, 4),
    "MEMOIZE": _memoize,
    "BINGET": _get(_BYTE, 1),
    "LONG_BINGET": _get(_FOUR, 4),
}

_CODES = {info.name: ord(info.code) for info in pickletools.opcodes}
STOP = _CODES["STOP"]
STEPS: list[Step] = [_refused] * 256
for _name, _handler in _HANDLERS.items():
    STEPS[_CODES[_name]] = _handler
