"""The disk fails at the k-th write, sync, rename, creation, removal or truncation, for every k: SQLite's own included.

A small library, built with the system's C compiler and put before libc, makes the call fail; the process itself knows
nothing of it. The cases run in a child, because a library can only be put there when a process starts.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowtui.cache.runfile import write_plain
from flowtui.cache.store import LayerCache
from flowtui.errors import CacheError, FlowtuiError
from tests.trust.kills import leaked_bytes, read_or_none
from tests.trust.promise import Promise, Trial

SOURCE = Path(__file__).with_name("failing_disk.c")
KINDS = {"write": 1, "sync": 2, "rename": 4, "create": 8, "remove": 16, "truncate": 32}
CODES = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
FAR_K = 400
"""No operation here makes as many calls of one kind; how many each makes is what the child finds out."""

A, B, C = "a" * 64, "b" * 64, "c" * 64
OLD, NEW = b"old" * 15, b"new" * 20
OLD_FILE, NEW_FILE = b"old" * 15_000, b"new" * 20_000


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that is done while the disk fails.

    Attributes:
        change: Does it, in a folder with the cache that is open there.
        allowed: Key -> what may be there afterwards.
    """

    change: Callable[[Path, LayerCache], object]
    allowed: dict[str, tuple[bytes | None, ...]]


def _open_again(folder: Path, _: LayerCache) -> None:
    with LayerCache.open(folder / "cache") as again:
        again.get(A)


OPERATIONS = {
    "small entry": Operation(lambda _, cache: cache.put(A, NEW), {A: (OLD, NEW), B: (OLD_FILE,), C: (None,)}),
    "large entry": Operation(lambda _, cache: cache.put(B, NEW_FILE), {A: (OLD,), B: (OLD_FILE, NEW_FILE), C: (None,)}),
    "new entry": Operation(lambda _, cache: cache.put(C, NEW_FILE), {A: (OLD,), B: (OLD_FILE,), C: (None, NEW_FILE)}),
    "large to small": Operation(lambda _, cache: cache.put(B, NEW), {A: (OLD,), B: (OLD_FILE, NEW), C: (None,)}),
    "prune": Operation(lambda _, cache: cache.prune(0), {A: (OLD, None), B: (OLD_FILE, None), C: (None,)}),
    "clear": Operation(lambda _, cache: cache.clear(), {A: (OLD, None), B: (OLD_FILE, None), C: (None,)}),
    "open": Operation(_open_again, {A: (OLD,), B: (OLD_FILE,), C: (None,)}),
    "run file": Operation(
        lambda folder, _: write_plain(folder / "run.pkl", {"run": NEW_FILE}),
        {A: (OLD,), B: (OLD_FILE,), C: (None,)},
    ),
}

CASES = [
    (operation, kind, code, lasting)
    for operation in OPERATIONS
    for kind in KINDS
    for code in CODES
    for lasting in (False, True)
]
"""Each is tried for every k."""


def _faults(trial: Trial) -> None:
    for what in ("faults", "wrong values", "unclear errors", "bytes leaked"):
        trial.add(what, 0)
    library = trial.folder / "failing_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    command = [sys.executable, "-m", "tests.trust.disk_faults", str(trial.folder)]
    with subprocess.Popen(
        command,
        env=os.environ | {"LD_PRELOAD": str(library)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for case in trial.cases(len(CASES)):
            process.stdin.write(f"{case}\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline() or '{"counts": {}, "failures": ["the process ended"]}')
            for what, by in told["counts"].items():
                trial.add(what, by)
            for what in told["failures"]:
                trial.fail(case, what)
        process.stdin.close()


def child(folder: Path, case: int) -> None:
    """Tries one case for every k, and prints what was found."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    operation, kind, code, lasting = CASES[case]
    counts = {"faults": 0, "wrong values": 0, "unclear errors": 0, "bytes leaked": 0}
    failures = []
    for k in range(1, FAR_K):
        place = folder / f"case-{case}"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        arm = (str(place).encode(), KINDS[kind], k, CODES[code], int(lasting))
        seen, wrong = _one(place, OPERATIONS[operation], library, arm)
        if seen < k:
            break
        counts["faults"] += 1
        for what, text in wrong:
            counts[what] += 1
            failures.append(f"{operation}, {kind} {k} of {seen} {'and on' if lasting else ''} {code}: {text}")
    print(json.dumps({"counts": counts, "failures": failures}), flush=True)


def _one(
    folder: Path, operation: Operation, library: ctypes.CDLL, arm: tuple[bytes, int, int, int, int]
) -> tuple[int, list[tuple[str, str]]]:
    """Returns how many calls of the kind there were, and what went wrong."""
    write_plain(folder / "run.pkl", {"run": OLD_FILE})
    wrong: list[tuple[str, str]] = []
    with LayerCache.open(folder / "cache") as cache:
        cache.put(A, OLD)
        cache.put(B, OLD_FILE)
        library.fault_arm(*arm)
        try:
            operation.change(folder, cache)
        except FlowtuiError as error:
            if not error.message.isprintable() or "Errno" in error.message:
                wrong.append(("unclear errors", error.message))
        except Exception as error:  # noqa: BLE001  (that nothing else comes out is what is tried)
            wrong.append(("unclear errors", f"{type(error).__name__}: {error}"))
        # The disk is as it is: what is read is right, or a miss.
        for key, allowed in operation.allowed.items():
            if (found := cache.get(key)) is not None and found not in allowed:
                wrong.append(("wrong values", f"{key[0]} was {found[:9]!r} at once"))
        seen = library.fault_seen()
        library.fault_arm(*arm[:1], 0, 0, 0, 0)
    wrong.extend(_look(folder, operation))
    return seen, wrong


def _look(folder: Path, operation: Operation) -> Iterator[tuple[str, str]]:
    """What the next process finds, with a disk that works again."""
    try:
        with LayerCache.open(folder / "cache") as cache:
            for key, allowed in operation.allowed.items():
                if (found := cache.get(key)) not in allowed:
                    yield "wrong values", f"{key[0]} is {found and found[:9]!r}"
            report = cache.verify()
            if not report.ok or cache.take_notices():
                yield "wrong values", f"the cache is not whole: {report}"
            if leaked := leaked_bytes(folder / "cache", {e.key: e.size_bytes for e in cache.entries()}):
                yield "bytes leaked", f"{leaked} bytes are left over"
            if not cache.put(C, NEW) or cache.get(C) != NEW:
                yield "wrong values", "the cache takes no entry any more"
    except CacheError as error:
        yield "unclear errors", f"the next one to open it: {error}"
    run = read_or_none(folder / "run.pkl")
    if run not in ({"run": OLD_FILE}, {"run": NEW_FILE}):
        yield "wrong values", "the run file is neither the old one nor the new one"
    if left := list(folder.glob(".flowtui-*")):
        yield "bytes leaked", f"{left[0].name} is left over"


PROMISES = (
    Promise(
        "disk-faults",
        "faults",
        "At an input/output error or a full disk, at each single write, sync, rename, creation, removal and truncation "
        "(once, or from then on; SQLite's own too), an entry and a run file hold the old value or the new one",
        None,
        8,
        _faults,
        lambda: "" if shutil.which("cc") and sys.platform == "linux" else "there is no C compiler, or no Linux",
    ),
)

if __name__ == "__main__":
    for line in sys.stdin:
        child(Path(sys.argv[1]), int(line))
