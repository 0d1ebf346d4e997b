"""Pickles that run code with any ordinary reader: every instruction that can, in every protocol, at every place."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
from functools import partial
from typing import Any

from tests.cache.test_pickledata import HOSTILE
from tests.trust.attacks.attack import CANARY, TOUCH, Attack, evil_file

CODE = f"open({CANARY!r}, 'w')"
HEAD = b"\x80\x04"


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._made = function, arguments

    def __reduce__(self) -> Any:
        return self._made


class Stateful(Calls):
    """The same from its state's setter's side: a call among the items that are appended."""

    def __reduce__(self) -> Any:
        return list, (), None, iter([Calls(*self._flat())])

    def _flat(self) -> tuple[Any, ...]:
        return self._made[0], *self._made[1]


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


SYSTEM = b"cos\nsystem\n"
BY_HAND = {
    "GLOBAL and REDUCE": HEAD + SYSTEM + b"(" + _text(TOUCH) + b"tR.",
    "GLOBAL and REDUCE without head": SYSTEM + b"(S'" + TOUCH.encode() + b"'\ntR.",
    "STACK_GLOBAL": HEAD + _text("os") + _text("system") + b"\x93" + _text(TOUCH) + b"\x85R.",
    "STACK_GLOBAL from the memo": HEAD
    + _text("os") + b"q\x00" + _text("system") + b"q\x010]" + b"h\x00h\x01\x93" + _text(TOUCH) + b"\x85R.",
    "INST": HEAD + b"(" + _text(TOUCH) + b"ios\nsystem\n.",
    "OBJ": HEAD + b"(" + SYSTEM + _text(TOUCH) + b"o.",
    "NEWOBJ": HEAD + SYSTEM + _text(TOUCH) + b"\x85\x81.",
    "NEWOBJ_EX": HEAD + SYSTEM + _text(TOUCH) + b"\x85}\x92.",
    "BUILD": HEAD + b"cbuiltins\nexit\n}" + _text("__call__") + SYSTEM + b"sb.",
    "EXT1": HEAD + b"\x82\x01" + _text(TOUCH) + b"\x85R.",
    "EXT2": HEAD + b"\x83\x01\x00" + _text(TOUCH) + b"\x85R.",
    "EXT4": HEAD + b"\x84\x01\x00\x00\x00" + _text(TOUCH) + b"\x85R.",
    "PERSID": HEAD + b"P" + TOUCH.encode() + b"\n.",
    "BINPERSID": HEAD + _text(TOUCH) + b"Q.",
    "NEXT_BUFFER": b"\x80\x05\x97.",
    "a name with dots": HEAD + _text("os") + _text("path.os.system") + b"\x93" + _text(TOUCH) + b"\x85R.",
    "getattr": HEAD + b"cbuiltins\ngetattr\n(cos\npath\n" + _text("os") + b"tR.",
    "behind a million values": HEAD + b"](" + b"N" * 900_000 + b"e" + SYSTEM + _text(TOUCH) + b"\x85R\x86.",
    "taken from the stack again": HEAD + b"}" + SYSTEM + _text(TOUCH) + b"\x85R0.",
    "in a frame": HEAD + b"\x95" + struct.pack("<Q", 40) + SYSTEM + _text(TOUCH) + b"\x85R.",
    "as a key": HEAD + b"}" + SYSTEM + _text(TOUCH) + b"\x85RNs.",
    "behind the end": pickle.dumps({"format": "flowtui-run"}, 4) + HEAD + SYSTEM + _text(TOUCH) + b"\x85R.",
    "before the head": SYSTEM + b"(" + _text(TOUCH) + b"tR0" + pickle.dumps({"format": "flowtui-run"}, 4),
}  # fmt: skip
"""By name; written by hand where no object's pickle has that form."""

FUNCTIONS = {
    "os.system": Calls(os.system, TOUCH),
    "exec": Calls(builtins.exec, CODE),
    "eval": Calls(builtins.eval, CODE),
    "open": Calls(builtins.open, CANARY, "w"),
    "__import__": Calls(builtins.__import__, "antigravity"),
    "a list's item": Stateful(os.system, TOUCH),
    "a loader in a loader": Calls(pickle.loads, pickle.dumps(Calls(os.system, TOUCH), 2)),
    "in a tuple": (1, (2, [Calls(os.system, TOUCH)])),
    "under a key of a run": {"format": "flowtui-run", "version": 1, "spec": Calls(os.system, TOUCH)},
}


def attacks() -> list[Attack]:
    """All of them."""
    found = [Attack("run files", f"pickle: {name}", partial(evil_file, data)) for name, data in BY_HAND.items()]
    for name, value in FUNCTIONS.items():
        for protocol in range(6):
            data = pickle.dumps(value, protocol)
            found.append(Attack("run files", f"pickle: {name}, protocol {protocol}", partial(evil_file, data)))
    found += [Attack("run files", f"data: {name}", partial(evil_file, data)) for name, (data, _) in HOSTILE.items()]
    # Names that fall on few places of a table: a dictionary of a good reader does not care.
    collisions = HEAD + b"}(" + b"".join(_text(f"{i << 32:x}") + b"N" for i in range(150_000)) + b"u."
    found.append(Attack("run files", "data: keys that are made to collide", partial(evil_file, collisions)))
    return found
