"""Plain data out of a pickle without running anything: an allow-list interpreter of data opcodes.

`pickle.load` is never used: even an unpickler that refuses every class can be made to hang or to raise anything. Here
an opcode that is not on the list is refused before its argument is even parsed, and everything is capped (`Limits`).
"""

from __future__ import annotations

import io
import os
import pickletools
from collections.abc import Callable
from typing import Any

from flowtui.errors import RunFileError

from .plain import LIMITS, Limits, NotPlainError, check_plain, check_scalar, shown

HINT = "Nothing in it was run. Get the file again, or make the run again with: flowtui run IMAGE QUESTION -o run.pkl"


def loads(data: bytes, name: str | os.PathLike[str], limits: Limits = LIMITS) -> object:
    """Reads plain data from the bytes of a pickle, protocols 2 to 5.

    Args:
        data: The whole pickle.
        name: The file it came from, for the message.
        limits: Caps.

    Returns:
        The plain data. A value shared in the pickle is one object in the result.

    Raises:
        RunFileError: Anything but plain data within the limits; the message names the file and the reason.
    """
    try:
        value = _Machine(data, limits).run()
        check_plain(value, limits)
    except NotPlainError as error:
        raise RunFileError(f"{shown(name)} is refused: {error}.", HINT) from None
    return value


class _Machine:
    """The pickle machine's stack, marks and memo."""

    __slots__ = ("limits", "marks", "memo", "size", "stack", "stream")

    def __init__(self, data: bytes, limits: Limits) -> None:
        self.limits = limits
        self.size = len(data)
        self.stream = io.BytesIO(data)
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> object:
        if self.size > self.limits.file_bytes:
            raise NotPlainError(f"it is larger than {self.limits.file_bytes} bytes")
        if self.stream.getvalue()[:1] != b"\x80":
            raise NotPlainError("it is not a pickle of protocol 2 or later")
        for _ in range(self.limits.opcodes):
            code = self.stream.read(1)
            if code == b".":
                return self._finish()
            known = _OPCODES.get(code)
            if known is None:
                raise NotPlainError(_why_refused(code, self.stream.tell() - 1))
            read, apply = known
            try:
                apply(self, read(self.stream) if read else None)
            except NotPlainError:
                raise
            except (ValueError, IndexError, KeyError) as error:
                # pickletools says what is short or malformed; an empty stack or memo slot says nothing useful.
                reason = str(error) if isinstance(error, ValueError) else "a step takes a value that is not there"
                raise NotPlainError(f"{reason} (near byte {self.stream.tell()})") from None
        raise NotPlainError(f"it takes more than {self.limits.opcodes} steps")

    def _finish(self) -> object:
        if self.stream.tell() != self.size:
            raise NotPlainError(f"{self.size - self.stream.tell()} bytes follow its end")
        if len(self.stack) != 1 or self.marks:
            raise NotPlainError("it does not end with exactly one value")
        return self.stack[0]

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items


def _why_refused(code: bytes, position: int) -> str:
    if not code:
        return "it ends before its end mark"
    for info in pickletools.opcodes:
        if info.code.encode("latin-1") == code:
            return f"it holds the instruction {info.name} (at byte {position}), which plain data never needs"
    return f"byte {position} is no pickle instruction"


def _proto(machine: _Machine, version: int) -> None:
    if machine.stream.tell() != 2 or not 2 <= version <= 5:
        raise NotPlainError(f"it declares pickle protocol {version} at byte {machine.stream.tell() - 2}")


def _frame(machine: _Machine, length: int) -> None:
    if machine.stream.tell() + length > machine.size:
        raise NotPlainError("it is cut short")


def _mark(machine: _Machine, _: None) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _push(machine: _Machine, value: object) -> None:
    # Checked at once: the stack may hold what the finished value does not, and sizes are cheap.
    check_scalar(value, machine.limits)
    machine.stack.append(value)


def _constant(value: object) -> Callable[[_Machine, Any], None]:
    def push(machine: _Machine, _: None) -> None:
        machine.stack.append(value)

    return push


def _small_tuple(length: int) -> Callable[[_Machine, Any], None]:
    def push(machine: _Machine, _: None) -> None:
        items = tuple(machine.stack[-length:])
        if len(items) != length:
            raise IndexError
        machine.stack[-length:] = [items]

    return push


def _empty_list(machine: _Machine, _: None) -> None:
    machine.stack.append([])


def _empty_dict(machine: _Machine, _: None) -> None:
    machine.stack.append({})


def _tuple(machine: _Machine, _: None) -> None:
    items = machine.pop_mark()
    machine.stack.append(tuple(items))


def _append(machine: _Machine, _: None) -> None:
    _extend(machine, [machine.stack.pop()])


def _appends(machine: _Machine, _: None) -> None:
    _extend(machine, machine.pop_mark())


def _extend(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not list:
        raise NotPlainError(f"it appends to a {type(target).__name__}")
    target.extend(items)


def _setitem(machine: _Machine, _: None) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _update(machine, [key, value])


def _setitems(machine: _Machine, _: None) -> None:
    _update(machine, machine.pop_mark())


def _update(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not dict:
        raise NotPlainError(f"it sets an item of a {type(target).__name__}")
    if len(items) % 2:
        raise NotPlainError("a key has no value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str:
            raise NotPlainError(f"a key is {type(key).__name__}, not text")
        if key in target:
            raise NotPlainError(f"the key {key[:40]!r} appears twice")
        target[key] = value


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _memoize(machine: _Machine, _: None) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _get(machine: _Machine, index: int) -> None:
    machine.stack.append(machine.memo[index])


_HANDLERS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _proto,
    "FRAME": _frame,
    "MARK": _mark,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), _push),
    **dict.fromkeys(("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _push),
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
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
}

_OPCODES = {
    info.code.encode("latin-1"): (info.arg.reader if info.arg else None, _HANDLERS[info.name])
    for info in pickletools.opcodes
    if info.name in _HANDLERS
}
