"""The cache of layers: bytes by key on disk, checked on every read, shared by processes, never in the way of the work.

Opening it may fail with a `CacheError`. After that the work goes on whatever happens: a `get` that cannot be answered
is a miss, a `put` that cannot be done gives False, and what went wrong is said once, in `take_notices`.

Importing this module imports diskcache; what only reads a run file does not need it.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from logging import getLogger
from pathlib import Path
from typing import Any, Self

import diskcache

from flowtui.errors import CacheError

from . import index
from .disk import KEY, BadEntryError, BytesDisk, seal, unseal
from .faults import LOCKED, hint_for, reason_of
from .locks import InUse, locked
from .place import OTHERWISE, choose_place, ensure_folder
from .plain import shown
from .report import CacheInfo, Notices, VerifyReport
from .sweep import ORPHAN_AGE_S, orphans, sweep

log = getLogger(__name__)

DEFAULT_LIMIT_BYTES = 20 << 30
SMALLEST_LIMIT_BYTES = 1 << 20
INLINE_BYTES = 1 << 15
OPEN_WAIT_S = 10.0
PAUSE_S = 30.0

# The last ones: what diskcache stumbles over when rows change under its hands.
_FAILURES = (OSError, sqlite3.Error, diskcache.Timeout, BadEntryError, TypeError, ValueError, KeyError)

# Every setting of diskcache, so that none is ever taken from the file.
_SETTINGS: dict[str, object] = {
    "statistics": 0,  # no counting of hits: it would write on every read
    "tag_index": 0,
    "eviction_policy": "least-recently-used",  # a read moves the access time on; LayerCache does the evicting
    "size_limit": 1 << 62,  # diskcache evicts ten entries at a time, which for large entries may be all of them
    "cull_limit": 0,
    "sqlite_auto_vacuum": 1,  # the file shrinks when entries go
    "sqlite_cache_size": 1 << 11,  # pages
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # a mapped file that someone cuts short kills the reader
    "sqlite_synchronous": 1,
    "disk_min_file_size": INLINE_BYTES,  # below this an entry sits in the index itself
    "disk_pickle_protocol": 4,  # never used: nothing is pickled
}


class LayerCache:
    """An open cache. Usable from several threads and processes at once; close it, or use it in a `with`."""

    def __init__(
        self, folder: Path, reason: str, limit_bytes: int, cache: Any, disk: BytesDisk, in_use: InUse | None
    ) -> None:
        """Use `open`."""
        self.folder, self.reason, self.limit_bytes = folder, reason, limit_bytes
        self._cache, self._disk, self._in_use = cache, disk, in_use
        self._notices = Notices()
        self._dropped = 0
        self._paused_until = 0.0
        self._closed = False

    @classmethod
    def open(cls, folder: Path | None = None, *, size_limit: int = DEFAULT_LIMIT_BYTES, reason: str = "") -> Self:
        """Opens the cache, making it where there is none.

        Args:
            folder: The cache folder; None to choose it (`place.choose_place`).
            size_limit: Bytes on disk from where on the least recently used entries are evicted; at least 1 MiB.
            reason: Why this folder, for `info`; found by itself when `folder` is None.

        Raises:
            CacheError: The folder cannot be made, is not the user's own, cannot be written to or is full, or another
                process keeps the index locked.
        """
        if folder is None:
            place = choose_place()
            folder, reason = place.path, place.reason
        if size_limit < SMALLEST_LIMIT_BYTES:
            text = f"A cache limit of {size_limit} bytes is too small."
            raise CacheError(text, f"Give {SMALLEST_LIMIT_BYTES} or more.")
        folder = folder.absolute()
        ensure_folder(folder)
        try:
            # One at a time: two processes that make the index together lock each other out for a while.
            with _opening(folder):
                dropped, set_aside = index.inspect(folder, _SETTINGS)
                cache, disk = _open_diskcache(folder)
                in_use = _sweep_first(folder)
        except _FAILURES as error:
            raise _unusable(folder, reason_of(error)) from error
        self = cls(folder, reason or "asked for", size_limit, cache, disk, in_use)
        if set_aside:
            self._notices.add(
                "index", f"The cache's index was damaged: a new one was started, the old one is {index.DAMAGED}."
            )
        if dropped:
            self._count_dropped(dropped, "not written by flowtui")
        return self

    def close(self) -> None:
        """Closes the cache; a later `get` is a miss. May be called twice."""
        self._closed = True
        with suppress(*_FAILURES):
            self._cache.close()
        in_use, self._in_use = self._in_use, None
        if in_use is not None:
            in_use.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, key: str) -> bytes | None:
        """The bytes under a key, or None: not there, damaged (then dropped), or out of reach.

        Raises:
            CacheError: The key is not one that `layer_key` makes.
        """
        _check_key(key)
        if self._out_of_use():
            return None
        try:
            sealed = self._cache.get(key)
            return None if sealed is None else unseal(key, sealed)
        except BadEntryError as error:
            self._drop(key, str(error))
        except _FAILURES as error:
            self._failed("read", error)
        return None

    def put(self, key: str, data: bytes, *, analysis: str = "", layer: int | None = None, model: str = "") -> bool:
        """Stores bytes under a key, evicting the least recently used entries beyond the limit.

        Args:
            key: From `layer_key`.
            data: What `get` is to give back.
            analysis, layer, model: Shown by `cache list`.

        Returns:
            Whether it is stored. Where not, the reason is in `take_notices`.

        Raises:
            CacheError: The key is not one that `layer_key` makes.
        """
        _check_key(key)
        if self._out_of_use():
            return False
        if len(data) > self.limit_bytes // 2:
            self._notices.add(
                "large", f"A layer of {len(data)} bytes is not cached: the limit is {self.limit_bytes} bytes."
            )
            return False
        try:
            self._cache.set(key, seal(key, data), tag=index.label(analysis, layer, model))
            self._disk.keep()
            self._evict(self.limit_bytes, keep=key)
        except _FAILURES as error:
            self._disk.discard()
            self._failed("written", error)
            return False
        return True

    @contextmanager
    def lock(self, key: str, *, wait_s: float | None = None) -> Iterator[bool]:
        """Holds the one right to compute a key, among all threads and processes on this machine.

        Look into the cache again after getting it: whoever held it before has probably stored the entry. A holder that
        dies loses it at once. Where one thread may ask twice for one key, give `wait_s`.

        Args:
            key: From `layer_key`.
            wait_s: How long to wait for another holder; None for as long as it takes, 0 to try once.

        Yields:
            True where this caller may compute it (also where locks do not work), False where another still holds it.
        """
        _check_key(key)
        with ExitStack() as stack:
            try:
                mine = stack.enter_context(locked(self.folder, f"{key}.lock", wait_s))
            except OSError as error:
                # Without locks the worst is that something is computed twice.
                mine = True
                self._failed("locked", error)
            yield mine

    def info(self) -> CacheInfo:
        """The cache in figures.

        Raises:
            CacheError: The index cannot be read.
        """
        with self._asked():
            return CacheInfo(
                self.folder, self.reason, len(self._cache), self._cache.volume(), self.limit_bytes, self._dropped
            )

    def entries(self) -> Iterator[index.Entry]:
        """Every entry, the most recently used first.

        Raises:
            CacheError: The index cannot be read.
        """
        with self._asked():
            found = index.rows(self.folder)
        return reversed(found)

    def verify(self, repair: bool = False) -> VerifyReport:
        """Reads every entry and checks it; with `repair` drops what is bad and removes files nobody points to.

        Raises:
            CacheError: The cache cannot be read, or not be repaired.
        """
        with self._asked():
            trouble = index.damage(self.folder)
            if trouble and repair:
                self._start_afresh()
            bad, checked = self._check_entries(repair) if repair or not trouble else ([], 0)
            # A new index knows none of the old one's files.
            age_s = 0.0 if trouble else ORPHAN_AGE_S
            found = sweep(self.folder, age_s) if repair else () if trouble else orphans(self.folder)
        return VerifyReport(checked, tuple(bad), found, trouble, repair)

    def _check_entries(self, repair: bool) -> tuple[list[tuple[str, str]], int]:
        bad, entries = [], index.rows(self.folder)
        # Reading moves each access time on; in the order of use that leaves the order as it was.
        for entry in entries:
            try:
                sealed = self._cache.get(entry.key)
                if sealed is not None:
                    unseal(entry.key, sealed)
            except BadEntryError as error:
                bad.append((shown(entry.key), str(error)))
                if repair:
                    self._cache.delete(entry.key)
        return bad, len(entries)

    def _start_afresh(self) -> None:
        with _opening(self.folder):
            self._cache.close()
            index.set_aside(self.folder)
            self._cache, self._disk = _open_diskcache(self.folder)

    def prune(self, max_bytes: int) -> int:
        """Evicts the least recently used entries until the cache takes at most `max_bytes`; returns how many.

        Raises:
            CacheError: The index cannot be written.
        """
        with self._asked():
            return self._evict(max_bytes)

    def clear(self) -> int:
        """Removes every entry and every file of the cache's own; returns how many entries.

        Raises:
            CacheError: The index cannot be written.
        """
        with self._asked():
            removed = int(self._cache.clear())
            sweep(self.folder, 0.0, 0.0)
            return removed

    def take_notices(self) -> tuple[str, ...]:
        """What the user should be told since the last call; each kind of trouble comes up once."""
        return self._notices.take()

    def _out_of_use(self) -> bool:
        return self._closed or time.monotonic() < self._paused_until

    def _count_dropped(self, count: int, reason: str) -> None:
        self._dropped += count
        self._notices.add("dropped", f"A damaged cache entry was dropped and will be computed again ({reason}).")

    def _drop(self, key: str, reason: str) -> None:
        log.info("dropping %s: %s", key, reason)
        self._count_dropped(1, reason)
        try:
            self._cache.delete(key)
        except _FAILURES as error:
            self._failed("written", error)

    def _failed(self, what: str, error: BaseException) -> None:
        reason = reason_of(error)
        # Closing this thread's connection ends any transaction the failure left open; the next use opens it anew.
        with suppress(*_FAILURES):
            self._cache.close()
        if reason == LOCKED:
            # Every further use would wait for the lock again, with a person watching.
            self._paused_until = time.monotonic() + PAUSE_S
        self._notices.add(f"{what}: {reason}", f"The cache could not be {what}: {reason}. Work goes on without it.")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turns failures of an operation the user asked for into an error instead of a notice."""
        if self._closed:
            raise CacheError("The cache is closed.")
        try:
            yield
        except _FAILURES as error:
            self._cache.close()
            raise _unusable(self.folder, reason_of(error)) from error

    def _evict(self, limit_bytes: int, keep: str | None = None) -> int:
        removed = 0
        if self._cache.volume() <= limit_bytes:
            return removed
        for entry in index.rows(self.folder):
            if entry.key != keep:
                self._cache.delete(entry.key)
                removed += 1
                if self._cache.volume() <= limit_bytes:
                    break
        return removed


@contextmanager
def _opening(folder: Path) -> Iterator[None]:
    with locked(folder, "open", OPEN_WAIT_S) as mine:
        if not mine:
            raise _unusable(folder, LOCKED)
        yield


def _sweep_first(folder: Path) -> InUse | None:
    """Removes what dead processes left; what may still be a living one's stays until it is old."""
    in_use = None
    with suppress(*_FAILURES):
        in_use = InUse(folder)
    with suppress(*_FAILURES):
        sweep(folder, 0.0 if in_use is not None and in_use.alone else ORPHAN_AGE_S)
    if in_use is not None:
        in_use.share()
    return in_use


def _open_diskcache(folder: Path) -> tuple[Any, BytesDisk]:
    # diskcache expands these in the name by itself.
    if "$" in str(folder):
        raise CacheError(f"The cache folder's name {shown(folder)} holds a $ sign.", hint_for("", OTHERWISE))
    cache = diskcache.Cache(str(folder), timeout=index.LOCK_WAIT_S, disk=BytesDisk, **_SETTINGS)
    return cache, cache.disk


def _unusable(folder: Path, reason: str) -> CacheError:
    return CacheError(f"The cache in {shown(folder)} cannot be used: {reason}.", hint_for(reason, OTHERWISE))


def _check_key(key: str) -> None:
    if not KEY.fullmatch(key):
        raise CacheError(f"{key[:80]!r} is not the key of a cache entry.")
