"""A cache folder that is full, read-only, locked or damaged: work goes on, says so, and later the cache just works."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from flowtui.cache import index
from flowtui.cache.store import LayerCache
from flowtui.errors import CacheError
from tests.trust.promise import Promise, Trial

A, B = "a" * 64, "b" * 64
VALUE = b"layer" * 20_000


@contextmanager
def _damaged(folder: Path, change: Callable[[bytes], bytes]) -> Iterator[None]:
    path = folder / index.DATABASE
    path.write_bytes(change(path.read_bytes()))
    yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / index.DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    ballast = folder.parent / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    yield
    ballast.unlink()


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", folder.parent], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder.parent], check=True)


SITUATIONS: dict[str, Callable[[Path], object]] = {
    "garbage": lambda folder: _damaged(folder, lambda data: os.urandom(len(data))),
    "cut short": lambda folder: _damaged(folder, lambda data: data[: len(data) // 2]),
    "empty": lambda folder: _damaged(folder, lambda data: b""),
    "holes": lambda folder: _damaged(folder, lambda data: data[:100] + b"\xff" * 4000 + data[4100:]),
    "locked": _locked,
    "full disk": _full,
    "read-only": _read_only,
}
MOUNTED = ("full disk", "read-only")
CASES = [(name, already) for name in SITUATIONS for already in (False, True) if not (already and name == "read-only")]
"""Met when the cache is opened, or while it is open; what is open for writing cannot become read-only."""


def _folders(trial: Trial) -> None:
    for what in ("situations", "wrong values", "not said", "not recovered"):
        trial.add(what, 0)
    for case in trial.cases(len(CASES)):
        name, already = CASES[case]
        place = trial.folder / str(case)
        place.mkdir()
        mounted = name in MOUNTED
        if (
            mounted
            and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False).returncode
        ):
            continue  # only root may: the count shows that it was left out
        try:
            for what, text in _one(place / "cache", name, already):
                trial.add(what)
                trial.fail(case, f"{name}, {'while open' if already else 'on opening'}: {text}")
        finally:
            if mounted:
                subprocess.run(["umount", "-l", place], check=False)
        trial.add("situations")


def _one(folder: Path, name: str, already: bool) -> Iterator[tuple[str, str]]:
    with LayerCache.open(folder) as cache:
        cache.put(A, VALUE)
    cache = LayerCache.open(folder) if already else None
    with SITUATIONS[name](folder):  # type: ignore[attr-defined]
        said = ""
        try:
            cache = cache or LayerCache.open(folder)
            if cache.get(A) not in (None, VALUE):
                yield "wrong values", "a wrong value"
            stored = cache.put(B, VALUE)
            said = " ".join(cache.take_notices())
            if not stored and not said:
                yield "not said", "nothing was said"
        except CacheError as error:
            said = error.message
    if cache is not None:
        cache.close()
    with LayerCache.open(folder) as cache:
        found = cache.get(A)
        if found not in (None, VALUE):
            yield "wrong values", "a wrong value afterwards"
        if not cache.put(A, VALUE) or cache.get(A) != VALUE or not cache.verify().ok:
            yield "not recovered", f"afterwards: {cache.take_notices()}, {cache.verify()}"


PROMISES = (
    Promise(
        "bad-folders",
        "faults",
        "On a full disk, in a read-only folder and with a locked or damaged index work goes on uncached and says so; "
        "once the cause is gone the cache works again without any repair by hand",
        None,
        6,
        _folders,
    ),
)
