"""kill -9 in the middle of writing: nobody ever reads wrong bytes, and the next to open takes away what was left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.cache.store import LayerCache
from flowtui.errors import RunFileError
from tests.trust.promise import Promise, Trial

KEYS = tuple(f"{i:064x}" for i in range(24))
LONGEST_S = 0.06
"""Between a writer's first entry and its death: some twenty entries, and as many run files."""


def value(key: str, version: int) -> bytes:
    """What a key holds: its version and so many bytes that every third entry sits in the index itself."""
    return version.to_bytes(4, "little") + key.encode() * (3 if int(key, 16) % 3 else 3000)


def run_plain(version: int) -> dict[str, object]:
    """A run file's content."""
    return {"version": version, "blob": version.to_bytes(4, "little") * 20_000, "list": list(range(300))}


def in_child(work: Callable[[], None]) -> int:
    """Forks, so that nothing has to be imported again; the child never returns."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def kill(child: int) -> None:
    """kill -9, and no zombie."""
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def write_for_ever(folder: Path, ready: int, begin: int) -> None:
    """Entries of a cache and a run file, each version after version."""
    with LayerCache.open(folder / "cache") as cache:
        os.write(ready, b"x")
        for version in range(begin, begin + 1_000_000):
            key = KEYS[version % len(KEYS)]
            cache.put(key, value(key, version))
            write_plain(folder / "run.pkl", run_plain(version))


def _kills(trial: Trial) -> None:
    for what in ("kills", "corrupt reads", "bytes leaked", "entries read"):
        trial.add(what, 0)
    folder = trial.folder
    write_plain(folder / "run.pkl", run_plain(0))
    for case in trial.cases():
        reader, writer = os.pipe()
        child = in_child(lambda writer=writer, case=case: write_for_ever(folder, writer, case * 1_000_000 % (1 << 31)))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        time.sleep(trial.rng(case).uniform(0, LONGEST_S))  # the moment of death is what is drawn
        kill(child)
        trial.add("kills")
        if wrong := _look(trial, folder):
            trial.fail(case, wrong)


def _look(trial: Trial, folder: Path) -> str:
    """Opens everything, as the next process would."""
    with LayerCache.open(folder / "cache") as cache:
        wrong = []
        for key in KEYS:
            found = cache.get(key)
            trial.add("entries read", found is not None)
            if found is not None and found != value(key, int.from_bytes(found[:4], "little")):
                wrong.append(f"{key[-4:]} holds wrong bytes")
        if notices := cache.take_notices():
            wrong.append(f"notices: {notices}")
        rows = {entry.key: entry.size_bytes for entry in cache.entries()}
        leaked = leaked_bytes(folder / "cache", rows)
    plain = read_or_none(folder / "run.pkl")
    if not isinstance(plain, dict) or plain != run_plain(plain["version"]):
        wrong.append("the run file is neither the old one nor the new one")
    leaked += sum(path.stat().st_size + 1 for path in folder.glob(".flowtui-*"))
    trial.add("corrupt reads", len(wrong))
    trial.add("bytes leaked", leaked)
    return "; ".join([*wrong, *[f"{leaked} bytes are left over"] * bool(leaked)])


def read_or_none(path: Path) -> object:
    """A run file's content; None where it is not one."""
    with suppress(RunFileError):
        return read_plain(path)
    return None


def leaked_bytes(folder: Path, rows: dict[str, int]) -> int:
    """Bytes in value files that no entry accounts for."""
    files = sum(path.stat().st_size for path in folder.glob("??/*"))
    return files - sum(size for size in rows.values() if size >= 1 << 15)


PROMISES = (
    Promise(
        "kills",
        "faults",
        "A process killed (`kill -9`) while it writes cache entries and run files leaves nothing corrupt, and nothing "
        "at all once the next one has opened them",
        1_000,
        25,
        _kills,
    ),
)
