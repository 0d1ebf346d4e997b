"""The layer cache: what it keeps, what it evicts, what it survives."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flowtui.cache import index, store, sweep
from flowtui.cache.store import LayerCache
from flowtui.errors import CacheError

A, B, C = "a" * 64, "b" * 64, "c" * 64
SMALL, LARGE = b"small" * 10, b"large" * 20_000
LIMIT = store.SMALLEST_LIMIT_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[LayerCache]:
    with LayerCache.open(folder) as opened:
        yield opened


def sql(folder: Path, statement: str, *values: object) -> list[Any]:
    """Changes the index behind the cache's back, as someone with write access could."""
    database = sqlite3.connect(folder / index.DATABASE, isolation_level=None)
    try:
        return database.execute(statement, values).fetchall()
    finally:
        database.close()


def value_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("??/*.val"))


def age(path: Path) -> None:
    os.utime(path, (1, 1))


def test_what_is_put_is_got_also_after_reopening(folder: Path) -> None:
    with LayerCache.open(folder) as cache:
        assert cache.get(A) is None
        assert cache.put(A, SMALL)
        assert cache.put(B, LARGE)
        assert cache.put(C, b"")
    with LayerCache.open(folder) as cache:
        assert (cache.get(A), cache.get(B), cache.get(C)) == (SMALL, LARGE, b"")
        assert cache.put(A, b"new")
        assert cache.get(A) == b"new"
        assert cache.take_notices() == ()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_replacing_an_entry_leaves_no_file_behind(cache: LayerCache, folder: Path) -> None:
    for size in (50_000, 60_000, 70_000):
        cache.put(A, b"x" * size)
        assert [p.stat().st_size for p in value_files(folder)] == [size + 24]
    cache.put(A, SMALL)
    assert value_files(folder) == []


def test_the_list_and_the_figures(cache: LayerCache, folder: Path) -> None:
    cache.put(A, SMALL, analysis="cam", layer=3, model="llava-hf/llava-1.5-7b-hf")
    cache.put(B, LARGE, analysis="truncation", layer=0)
    cache.put(C, SMALL)
    cache.get(A)
    listed = list(cache.entries())
    assert [(e.key, e.analysis, e.layer, e.model) for e in listed] == [
        (A, "cam", 3, "llava-hf/llava-1.5-7b-hf"),
        (C, "", None, ""),
        (B, "truncation", 0, ""),
    ]
    assert [e.size_bytes for e in listed] == [len(SMALL) + 24, len(SMALL) + 24, len(LARGE) + 24]
    assert all(e.used_at_s >= e.stored_at_s > 1e9 for e in listed)
    info = cache.info()
    assert (info.folder, info.entries, info.dropped, info.reason) == (folder, 3, 0, "asked for")
    on_disk = sum(p.stat().st_size for p in value_files(folder))
    assert on_disk <= info.bytes <= on_disk + (1 << 18)


@pytest.mark.parametrize("key", ["", "a/b", "../x", "x" * 129, "a b"])
def test_keys_that_are_none_are_refused(cache: LayerCache, key: str) -> None:
    for use in (lambda: cache.get(key), lambda: cache.put(key, b""), lambda: cache.lock(key).__enter__()):
        with pytest.raises(CacheError):
            use()


def test_the_chosen_place_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWTUI_CACHE_DIR", str(tmp_path / "mine"))
    with LayerCache.open() as cache:
        assert cache.info().folder == tmp_path / "mine" / "layers"
        assert "FLOWTUI_CACHE_DIR" in cache.info().reason


# Eviction


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    with LayerCache.open(folder, size_limit=LIMIT) as cache:
        keys = [f"{i:064x}" for i in range(12)]
        for key in keys[:8]:
            cache.put(key, b"x" * 100_000)
        cache.get(keys[0])
        for key in keys[8:]:
            cache.put(key, b"x" * 100_000)
        there = [key for key in keys if cache.get(key) is not None]
        # 100 kB each, and the index, in 1 MiB: nine or ten fit. The first was used, so the second is the first to go.
        assert keys[0] in there
        assert keys[1] not in there
        assert there[1:] == keys[-len(there[1:]) :]
        assert 7 <= len(there) <= 10
        assert cache.info().bytes <= LIMIT
        assert len(value_files(folder)) == len(there)


def test_an_entry_far_too_large_is_not_stored_and_evicts_nothing(folder: Path) -> None:
    with LayerCache.open(folder, size_limit=LIMIT) as cache:
        cache.put(A, LARGE)
        assert not cache.put(B, b"x" * LIMIT)
        assert cache.get(A) == LARGE
        (notice,) = cache.take_notices()
        assert str(LIMIT) in notice


def test_a_limit_that_cannot_be_meant_is_refused(folder: Path) -> None:
    with pytest.raises(CacheError, match="too small"):
        LayerCache.open(folder, size_limit=1000)


def test_prune_and_clear(cache: LayerCache, folder: Path) -> None:
    for i in range(6):
        cache.put(f"{i:064x}", LARGE)
    full = cache.info().bytes
    assert cache.prune(full) == 0
    assert cache.prune(full - 2 * len(LARGE)) == 2
    assert [e.key[-1] for e in cache.entries()] == ["5", "4", "3", "2"]
    with cache.lock(A):
        pass
    assert cache.clear() == 4
    assert cache.info().entries == 0
    assert value_files(folder) == []
    assert list((folder / "locks").glob("*.lock")) == []
    assert cache.put(A, SMALL)


# Damage and tampering


def flip(path: Path, where: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)


def test_a_damaged_file_is_dropped_and_mentioned_once(cache: LayerCache, folder: Path) -> None:
    cache.put(A, LARGE)
    cache.put(B, LARGE)
    for path in value_files(folder):
        flip(path)
    assert cache.get(A) is None
    assert cache.get(B) is None
    assert value_files(folder) == []
    (notice,) = cache.take_notices()
    assert "damaged" in notice
    assert cache.take_notices() == ()
    assert cache.info().dropped == 2
    assert cache.put(A, LARGE)
    assert cache.get(A) == LARGE


DAMAGE = {
    "flipped bit in the index": "UPDATE Cache SET value = zeroblob(74) WHERE key = ?",
    "value is text": "UPDATE Cache SET value = 'text' WHERE key = ?",
    "value is gone": "UPDATE Cache SET value = NULL WHERE key = ?",
    "pickled value": "UPDATE Cache SET mode = 4, value = X'8004635f6f730a' WHERE key = ?",
    "text mode": "UPDATE Cache SET mode = 3, filename = '/etc/passwd', value = NULL WHERE key = ?",
    "mode is text": "UPDATE Cache SET mode = 'raw' WHERE key = ?",
    "mode is none": "UPDATE Cache SET mode = NULL WHERE key = ?",
    "absolute file": "UPDATE Cache SET mode = 2, filename = '/etc/passwd', value = NULL WHERE key = ?",
    "file above": "UPDATE Cache SET mode = 2, filename = '../secret.val', value = NULL WHERE key = ?",
    "file through the tree": "UPDATE Cache SET mode = 2, filename = 'aa/../../secret.val', value = NULL WHERE key = ?",
    "missing file": "UPDATE Cache SET mode = 2, filename = 'aa/" + "b" * 30 + ".val', value = NULL WHERE key = ?",
    "file name is a number": "UPDATE Cache SET mode = 2, filename = 7, value = NULL WHERE key = ?",
    "raw with a file": "UPDATE Cache SET filename = '../secret.val' WHERE key = ?",
    "size is text": "UPDATE Cache SET size = 'x' WHERE key = ?",
    "size is negative": "UPDATE Cache SET size = -1000000000 WHERE key = ?",
    "size is none": "UPDATE Cache SET size = NULL WHERE key = ?",
    "pickled key": "UPDATE Cache SET raw = 0 WHERE key = ?",
    "key is bytes": "UPDATE Cache SET key = X'8004' WHERE key = ?",
    "key climbs": "UPDATE Cache SET key = '../../x' WHERE key = ?",
    "used at is text": "UPDATE Cache SET access_time = 'now' WHERE key = ?",
    "expiry": "UPDATE Cache SET expire_time = 'x' WHERE key = ?",
}


# What the checksum and the file's presence decide is found on reading, not on opening.
FOUND_ON_READING = ("flipped bit in the index", "missing file")


@pytest.mark.parametrize("name", DAMAGE)
def test_rows_tampered_with_are_dropped_on_opening(folder: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.val"
    secret.write_bytes(b"secret")
    with LayerCache.open(folder) as cache:
        cache.put(A, SMALL)
        cache.put(B, LARGE)
    sql(folder, DAMAGE[name], A)
    with LayerCache.open(folder) as cache:
        assert cache.info().dropped == (name not in FOUND_ON_READING)
        assert cache.get(A) is None
        assert cache.info().dropped == 1
        assert len(cache.take_notices()) == 1
        assert cache.get(B) == LARGE
        assert cache.info().entries == 1
        assert cache.put(A, b"again")
        assert cache.get(A) == b"again"
        assert cache.verify().ok
        assert cache.clear() == 2
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("name", DAMAGE)
def test_rows_tampered_with_while_open_do_no_harm(folder: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret.val"
    secret.write_bytes(b"secret")
    with LayerCache.open(folder) as cache:
        cache.put(A, SMALL)
        cache.put(B, LARGE)
        sql(folder, DAMAGE[name], A)
        # The right bytes where what was changed does not bear on them, otherwise a miss; never an exception.
        harmless = name.startswith(("size", "used at", "expiry"))
        assert cache.get(A) == (SMALL if harmless else None)
        cache.put(A, b"again")
        cache.put(C, LARGE)
        assert cache.get(B) == LARGE
        for asked in (cache.verify, lambda: cache.prune(0), cache.clear, lambda: list(cache.entries()), cache.info):
            with suppress(CacheError):
                asked()
    with LayerCache.open(folder) as again:
        assert again.put(A, SMALL)
        assert again.get(A) == SMALL
        assert again.verify().ok
    assert secret.read_bytes() == b"secret"


class Evil:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("hostile-code-was-run"),)


def test_a_pickle_planted_in_a_row_is_not_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with LayerCache.open(folder) as cache:
        cache.put(A, SMALL)
        sql(folder, "UPDATE Cache SET mode = 4, value = ? WHERE key = ?", pickle.dumps(Evil()), A)
        sql(
            folder,
            "INSERT INTO Cache (key, raw, store_time, access_time, size, mode, value) VALUES (?, 0, 1, 1, 0, 4, ?)",
            pickle.dumps(Evil()),
            pickle.dumps(Evil()),
        )
        assert cache.get(A) is None
        assert [e.key for e in cache.entries()] == []
        cache.verify(repair=True)
    with LayerCache.open(folder) as cache:
        assert cache.info().entries == 0
    assert not Path("hostile-code-was-run").exists()
    # The bait is live: the standard reader takes it.
    pickle.loads(pickle.dumps(Evil()))
    assert Path("hostile-code-was-run").exists()


SETTINGS: list[tuple[object, object]] = [
    ("disk_pickle_protocol", 0),
    ("disk_min_file_size", 1 << 60),
    ("disk_unknown", 1),
    ("eviction_policy", "no such policy"),
    ("size_limit", "text"),
    ("cull_limit", -1),
    ("get", "text"),
    ("_disk", "text"),
    ("sqlite_mmap_size", 1 << 40),
    ("sqlite_journal_mode", "off"),
    ("sqlite_writable_schema", 1),
    ("sqlite_user_version = 77; --", 1),
    ("count", "text"),
    ("size", None),
    ("size", 1 << 60),
    (7, 7),
    (b"x", b"x"),
    (pickle.dumps(Evil()), pickle.dumps(Evil())),
]


@pytest.mark.parametrize(("key", "value"), SETTINGS)
def test_tampered_settings_are_put_right(folder: Path, key: object, value: object) -> None:
    with LayerCache.open(folder) as cache:
        cache.put(A, SMALL)
        cache.put(B, LARGE)
        right = sql(folder, "SELECT key, value FROM Settings ORDER BY key")
    sql(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)
    with LayerCache.open(folder) as cache:
        assert sql(folder, "SELECT key, value FROM Settings ORDER BY key") == right
        assert sql(folder, "PRAGMA user_version") == [(0,)]
        assert (cache.get(A), cache.get(B)) == (SMALL, LARGE)
        assert cache.put(C, LARGE)
        assert cache.info().entries == 3
        assert cache.take_notices() == ()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE other (x)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "ALTER TABLE Cache RENAME TO Gone",
        "ALTER TABLE Cache DROP COLUMN access_count",
        "DROP TABLE Settings",
    ],
)
def test_an_index_of_another_shape_is_replaced(folder: Path, statement: str) -> None:
    with LayerCache.open(folder) as cache:
        cache.put(A, LARGE)
    sql(folder, statement)
    with LayerCache.open(folder) as cache:
        assert cache.get(A) in (None, LARGE)
        assert cache.put(A, LARGE)
        assert cache.get(A) == LARGE
        assert cache.verify().index == ""


@pytest.mark.parametrize("kind", ["garbage", "empty", "cut", "holes", "folder", "link"])
def test_a_damaged_index_is_replaced_and_mentioned(folder: Path, tmp_path: Path, kind: str) -> None:
    with LayerCache.open(folder) as cache:
        for i in range(200):
            cache.put(f"{i:064x}", SMALL)
        cache.put(A, LARGE)
    path = folder / index.DATABASE
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        (tmp_path / "elsewhere").write_bytes(whole)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        holes = whole[:100] + b"\xff" * 4000 + whole[4100:]
        path.write_bytes(
            {"garbage": os.urandom(9000), "empty": b"", "cut": whole[: len(whole) // 2], "holes": holes}[kind]
        )
    with LayerCache.open(folder) as cache:
        notices = cache.take_notices()
        assert any("index was damaged" in n for n in notices) == (kind not in ("empty", "link")), notices
        assert cache.get(A) is None
        assert cache.put(A, LARGE)
        assert cache.get(A) == LARGE
    if kind == "link":
        assert (tmp_path / "elsewhere").read_bytes() == whole


def test_verify_finds_and_repairs(cache: LayerCache, folder: Path) -> None:
    cache.put(A, LARGE)
    cache.put(B, SMALL)
    cache.put(C, LARGE + b"c")
    assert cache.verify().ok
    (damaged,) = [p for p in value_files(folder) if p.stat().st_size == len(LARGE) + 24]
    flip(damaged)
    stray = folder / "00" / ("0" * 30 + ".val")
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    age(stray)
    for repair in (False, False, True):
        report = cache.verify(repair)
        assert report.checked == 3
        assert report.bad == ((A, "its checksum does not match"),)
        assert report.orphans == (f"00/{stray.name}",)
        assert not report.ok
        assert report.repaired == repair
        assert stray.exists() != repair
    assert cache.verify().ok
    assert (cache.get(A), cache.get(B), cache.get(C)) == (None, SMALL, LARGE + b"c")


def test_verify_keeps_the_order_of_use(cache: LayerCache) -> None:
    for key in (A, B, C):
        cache.put(key, SMALL)
    cache.get(A)
    before = [e.key for e in cache.entries()]
    cache.verify()
    assert [e.key for e in cache.entries()] == before == [A, C, B]


def test_verify_replaces_a_damaged_index(folder: Path) -> None:
    with LayerCache.open(folder) as cache:
        for i in range(300):
            cache.put(f"{i:064x}", SMALL)
        cache.put(A, LARGE)
        sql(folder, "PRAGMA wal_checkpoint(TRUNCATE)")
        ((page_bytes,),) = sql(folder, "PRAGMA page_size")
        with (folder / index.DATABASE).open("r+b") as file:
            file.seek(3 * page_bytes)
            file.write(os.urandom(5 * page_bytes))
        cache.close()
    # Opening may or may not come across the damage, depending on the page; verify always does.
    with LayerCache.open(folder) as cache:
        report = cache.verify(repair=True)
        assert report.index or any("index was damaged" in n for n in cache.take_notices())
        assert cache.verify().index == ""
        assert cache.put(A, LARGE)
        assert cache.get(A) == LARGE


# Orphans


def test_opening_sweeps_old_orphans_only(folder: Path) -> None:
    with LayerCache.open(folder) as cache:
        cache.put(A, LARGE)
        (kept,) = value_files(folder)
        (folder / "00").mkdir(exist_ok=True)
        old, young, foreign = (folder / "00" / name for name in ("1" * 30 + ".val", "2" * 30 + ".val", "mine.val"))
        for path in (old, young, foreign):
            path.write_bytes(b"x")
        for path in (old, foreign, kept):
            age(path)
        with cache.lock(A):
            pass
        age(folder / "locks" / f"{A}.lock")
        with cache.lock(B), LayerCache.open(folder):
            age(folder / "locks" / f"{B}.lock")
            LayerCache.open(folder).close()
            assert (folder / "locks" / f"{B}.lock").exists()
    assert not old.exists()
    assert young.exists()
    assert foreign.exists()
    assert kept.exists()
    assert not (folder / "locks" / f"{A}.lock").exists()
    assert sweep.orphans(folder, 0.0) == (f"00/{young.name}",)


# A disk that fails


def failing(code: int) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_put_that_fails_leaves_nothing_and_says_so_once(
    cache: LayerCache, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    cache.put(A, LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", failing(code))
        assert not cache.put(B, LARGE)
        assert not cache.put(C, LARGE)
    assert len(value_files(folder)) == 1
    assert len(cache.take_notices()) == 1
    assert cache.get(A) == LARGE
    assert cache.put(B, LARGE)
    assert cache.get(B) == LARGE


def test_an_index_that_is_full_leaves_no_file(cache: LayerCache, folder: Path) -> None:
    # SQLite's own refusal to grow stands for a full disk: the value's file is written, its row is not.
    cache.put(A, LARGE)
    ((pages,),) = sql(folder, "PRAGMA page_count")
    cache._cache._sql(f"PRAGMA max_page_count = {pages}")
    for i in range(100):
        if not cache.put(f"{i:064x}", b"x" * 30_000):
            break
    else:
        pytest.fail("the index grew beyond its limit")
    files = len(value_files(folder))
    cache._cache._sql(f"PRAGMA max_page_count = {pages}")
    (notice,) = cache.take_notices()
    assert "the disk is full" in notice
    assert cache.get(A) == LARGE
    assert len(value_files(folder)) == files == 1
    # The failure closed the connection, and with it the limit: the next put goes through.
    cache.close()
    with LayerCache.open(folder) as again:
        assert again.put(B, LARGE)


def test_a_locked_index_is_waited_for_shortly_and_then_left_alone(
    cache: LayerCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(A, SMALL)
    monkeypatch.setattr(cache._cache, "_timeout", 0.01)
    cache._cache.close()
    other = sqlite3.connect(folder / index.DATABASE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert cache.get(A) is None
    (notice,) = cache.take_notices()
    assert "another process keeps it locked" in notice
    # Within the pause the index is not even asked.
    monkeypatch.setattr(cache._cache, "get", failing(errno.EIO))
    assert cache.get(A) is None
    assert not cache.put(B, SMALL)
    assert cache.take_notices() == ()
    monkeypatch.undo()
    other.execute("ROLLBACK")
    other.close()
    cache._paused_until = 0.0
    assert cache.get(A) == SMALL


def test_a_locked_index_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LayerCache.open(folder).close()
    monkeypatch.setattr(index, "LOCK_WAIT_S", 0.01)
    other = sqlite3.connect(folder / index.DATABASE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CacheError, match="another process keeps it locked") as caught:
        LayerCache.open(folder)
    assert caught.value.hint
    other.execute("ROLLBACK")
    other.close()
    LayerCache.open(folder).close()


def test_a_folder_that_cannot_be_used_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="a file, not a folder"):
        LayerCache.open(tmp_path / "file")
    for code, words in ((errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot be written to")):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "mkdir", failing(code))
            with pytest.raises(CacheError, match=words) as caught:
                LayerCache.open(tmp_path / "cache")
        assert "FLOWTUI_CACHE_DIR" in caught.value.hint
    with pytest.raises(CacheError, match=r"\$"):
        LayerCache.open(tmp_path / "$HOME")


def test_an_index_that_cannot_be_written_is_a_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LayerCache.open(folder) as cache:
        cache.put(A, SMALL)
    real = index._connect

    def connect(path: Path) -> sqlite3.Connection:
        database = real(path)
        # SQLite's own refusal: permissions would not stop root.
        database.execute("PRAGMA query_only = ON")
        return database

    monkeypatch.setattr(index, "_connect", connect)
    sql(folder, "UPDATE Cache SET mode = 4")
    with pytest.raises(CacheError, match="cannot be written to"):
        LayerCache.open(folder)


def test_a_closed_cache_misses(cache: LayerCache) -> None:
    cache.put(A, SMALL)
    cache.close()
    cache.close()
    assert cache.get(A) is None
    assert not cache.put(A, SMALL)
    with pytest.raises(CacheError, match="closed"):
        cache.info()


def test_a_folder_that_vanishes_is_survived(cache: LayerCache, folder: Path) -> None:
    cache.put(A, LARGE)
    cache._cache.close()
    shutil.rmtree(folder)
    assert cache.get(A) is None
    assert not cache.put(A, LARGE)
    assert cache.take_notices()
    with pytest.raises(CacheError):
        list(cache.entries())


# Threads


def test_threads_share_a_cache(cache: LayerCache) -> None:
    wrong: list[str] = []

    def work(seed: int) -> None:
        for i in range(30):
            key, data = f"{i:064x}", f"{i}".encode() * 10_000
            with cache.lock(key):
                if cache.get(key) is None and not cache.put(key, data):
                    wrong.append(f"put {i}")
            if cache.get(key) != data:
                wrong.append(f"get {i}")
        cache._cache.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache.info().entries == 30
    assert cache.verify().ok
    assert cache.take_notices() == ()
