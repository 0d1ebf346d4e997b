"""Plain data out of a pickle without running anything: an allow-list interpreter of data opcodes.

`pickle.load` is never used: even an unpickler that refuses every class can be made to hang or to raise anything. Here
an opcode that is not on the list is refused before its argument is even looked at, and everything is capped (`Limits`).
"""

from __future__ import annotations

import gc
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from flowtui.errors import RunFileError

from .picklesteps import CUT, STEPS, STOP, Machine
from .plain import LIMITS, Limits, NotPlainError, check_plain, shown

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
        with _no_collection():
            value = _run(Machine(data, limits))
            check_plain(value, limits)
    except NotPlainError as error:
        raise RunFileError(f"{shown(name)} is refused: {error}.", HINT) from None
    return value


@contextmanager
def _no_collection() -> Iterator[None]:
    # Each new container may start a search for garbage among all before it: most of the time that a large file takes.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _run(machine: Machine) -> object:
    data, size, limits = machine.data, machine.size, machine.limits
    if size > limits.file_bytes:
        raise NotPlainError(f"it is larger than {limits.file_bytes} bytes")
    if data[:1] != b"\x80":
        raise NotPlainError("it is not a pickle of protocol 2 or later")
    at = 0
    try:
        for _ in range(limits.opcodes):
            if at >= size:
                raise NotPlainError("it ends before its end mark")
            code = data[at]
            if code == STOP:
                return _finish(machine, at + 1)
            at = STEPS[code](machine, at + 1)
    except struct.error:
        raise NotPlainError(CUT) from None
    except (IndexError, KeyError):
        raise NotPlainError(f"a step takes a value that is not there (near byte {at})") from None
    raise NotPlainError(f"it takes more than {limits.opcodes} steps")


def _finish(machine: Machine, end: int) -> object:
    if end != machine.size:
        raise NotPlainError(f"{machine.size - end} bytes follow its end")
    if len(machine.stack) != 1 or machine.marks:
        raise NotPlainError("it does not end with exactly one value")
    return machine.stack[0]
