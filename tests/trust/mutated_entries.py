"""Entries of the cache changed behind its back: never a wrong array, all of them found, said once, and made again."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from flowtui.cache import index
from flowtui.cache.disk import BadEntryError, unseal
from flowtui.cache.store import LayerCache
from flowtui.cache.tensors import pack, unpack
from tests.trust.mutate import bytes_damaged
from tests.trust.promise import Promise, Trial

KEYS = tuple(f"{i:064x}" for i in range(40))
"""A case changes all of them, each in its own way."""


def _value(number: int) -> bytes:
    """A layer: half of them small enough to sit in the index."""
    size = 400 if number % 2 else 9000
    return pack({"heat": np.random.default_rng(number).random(size, np.float32)}, {"layer": str(number)})


VALUES = {key: _value(number) for number, key in enumerate(KEYS)}


def _mutations(trial: Trial) -> None:
    for what in ("mutations", "wrong arrays", "not found by verify", "not recomputed", "notices missing or too many"):
        trial.add(what, 0)
    folder = trial.folder / "cache"
    with LayerCache.open(folder) as cache:
        for key, value in VALUES.items():
            cache.put(key, value)
    for case in trial.cases():
        with LayerCache.open(folder) as cache:
            changed = _change_all(folder, trial.rng(case))
            trial.add("mutations", len(changed))
            for what, text in _look(cache, changed):
                trial.add(what)
                trial.fail(case, text)


def _look(cache: LayerCache, changed: dict[str, str]) -> list[tuple[str, str]]:
    """Verifies, reads and repairs; returns what went wrong."""
    wrong = []
    found = {key for key, _ in cache.verify().bad}
    wrong += [
        ("not found by verify", f"verify does not find: {changed[key]}") for key in sorted(changed.keys() - found)
    ]
    for key, value in VALUES.items():
        data = cache.get(key)
        if data is not None and (key in changed or data != value or unpack(data)[1] != unpack(value)[1]):
            wrong.append(("wrong arrays", f"an array came back from: {changed.get(key, 'an entry left alone')}"))
        if data is None and not (cache.put(key, value) and cache.get(key) == value):
            wrong.append(("not recomputed", f"not stored again after: {changed.get(key)}"))
    if len(notices := cache.take_notices()) != bool(changed):
        wrong.append(("notices missing or too many", f"{len(notices)} notices: {notices}"))
    return wrong


def _change_all(folder: Path, rng: random.Random) -> dict[str, str]:
    """Changes every entry; returns how, for those whose change is one."""
    changed = {}
    with closing(sqlite3.connect(folder / index.DATABASE, isolation_level=None, timeout=60)) as database:
        database.execute("BEGIN")
        rows = dict(database.execute("SELECT key, filename FROM Cache WHERE key >= ?", ("",)))
        for key in KEYS:
            change = rng.choice(FILE_CHANGES if rows[key] else ROW_CHANGES)
            changed[key] = f"{change.__name__} of {key[-2:]}"
            if not change(folder, database, key, rows, rng):
                del changed[key]
        database.execute("COMMIT")
    return changed


Change = Callable[[Path, sqlite3.Connection, str, dict[str, str], random.Random], bool]


def _still_good(key: str, data: bytes) -> bool:
    with suppress(BadEntryError):
        return unseal(key, data) == VALUES[key]
    return False


def damaged_file(folder: Path, _: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    path = folder / rows[key]
    data = bytes_damaged(path.read_bytes(), rng)
    path.write_bytes(data)
    return not _still_good(key, data)


def cut_file(folder: Path, _: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    with (folder / rows[key]).open("r+b") as file:
        file.truncate(rng.randrange(36_000))
    return True


def missing_file(folder: Path, _: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    (folder / rows[key]).unlink()
    return True


def zeroed_file(folder: Path, _: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    path = folder / rows[key]
    path.write_bytes(bytes(path.stat().st_size))
    return True


def other_file(folder: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    """The row names a file of another entry's content, as whole as it is wrong."""
    other = rng.choice([k for k in KEYS if rows[k] and k != key])
    data = (folder / rows[other]).read_bytes() if (folder / rows[other]).exists() else b""
    (folder / rows[key]).write_bytes(data)
    return not _still_good(key, data)


def other_name(_: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    name = rng.choice(("../secret.val", "/etc/passwd", "aa/" + "b" * 30 + ".val", "", rows[key].upper() + "x"))
    database.execute("UPDATE Cache SET filename = ? WHERE key = ?", (name, key))
    return True


def damaged_row(_: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    (value,) = database.execute("SELECT value FROM Cache WHERE key = ?", (key,)).fetchone()
    data = bytes_damaged(value, rng)
    database.execute("UPDATE Cache SET value = ? WHERE key = ?", (data, key))
    return not _still_good(key, data)


def odd_value(_: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    value = rng.choice((None, "text", 7, 1.5, b"", b"\x80\x04N.", b"flowtui1"))
    database.execute("UPDATE Cache SET value = ? WHERE key = ?", (value, key))
    return True


def odd_mode(_: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    database.execute("UPDATE Cache SET mode = ? WHERE key = ?", (rng.choice((0, 2, 3, 4, -1, None, "raw")), key))
    return True


def other_row(_: Path, database: sqlite3.Connection, key: str, rows: dict[str, str], rng: random.Random) -> bool:
    """The value of another entry, as whole as it is wrong."""
    other = rng.choice([k for k in KEYS if not rows[k] and k != key])
    (value,) = database.execute("SELECT value FROM Cache WHERE key = ?", (other,)).fetchone()
    database.execute("UPDATE Cache SET value = ? WHERE key = ?", (value, key))
    # The other one may hold this one's value already.
    return type(value) is not bytes or not _still_good(key, value)


FILE_CHANGES: tuple[Change, ...] = (*[damaged_file] * 4, cut_file, missing_file, zeroed_file, other_file, other_name)
ROW_CHANGES: tuple[Change, ...] = (*[damaged_row] * 4, odd_value, odd_mode, other_row)

PROMISES = (
    Promise(
        "mutated-entries",
        "fuzz",
        "A cache entry that was changed on disk is never taken for an array: `cache verify` finds it, the user is told "
        "once, and it is computed again",
        # A few changes leave an entry as good as it was, and do not count.
        101_000 // len(KEYS),
        12,
        _mutations,
    ),
)
