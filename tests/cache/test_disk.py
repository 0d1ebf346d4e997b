"""The storage layer under diskcache: nothing but bytes under text keys, in files of its own naming."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flowtui.cache.disk import FILE, FILE_GLOB, MODE_BINARY, MODE_RAW, BadEntryError, BytesDisk, seal, unseal

KEY = "ab" * 32


@pytest.fixture
def disk(tmp_path: Path) -> BytesDisk:
    (tmp_path / "cache").mkdir()
    return BytesDisk(str(tmp_path / "cache"), min_file_size=100)


@pytest.mark.parametrize("size", [0, 99, 100, 50_000])
def test_bytes_come_back(disk: BytesDisk, size: int) -> None:
    value = os.urandom(size)
    file_size, mode, name, inline = disk.store(value, False, KEY)
    assert (mode, name is None, file_size) == ((MODE_RAW, True, 0) if size < 100 else (MODE_BINARY, False, size))
    assert disk.fetch(mode, name, inline, False) == value
    if name is not None:
        assert FILE.fullmatch(name)
        disk.remove(name)
        with pytest.raises(BadEntryError, match="missing"):
            disk.fetch(mode, name, inline, False)


@pytest.mark.parametrize("value", ["text", 1, None, 1.5, bytearray(b"x"), [1], object()])
def test_other_values_are_not_stored(disk: BytesDisk, value: object) -> None:
    with pytest.raises(BadEntryError):
        disk.store(value, False, KEY)
    with pytest.raises(BadEntryError):
        disk.store(b"x", True, KEY)


@pytest.mark.parametrize("key", [b"x", 1, None, ("a",), "", "a/b", "..", "a b", "a\n", "ü", "x" * 129])
def test_other_keys_are_refused(disk: BytesDisk, key: object) -> None:
    with pytest.raises(BadEntryError):
        disk.put(key)
    with pytest.raises(BadEntryError):
        disk.get(key, 1)


def test_keys_are_never_unpickled(disk: BytesDisk) -> None:
    assert disk.get(KEY, 1) == KEY
    for raw in (0, None, "1", pickle.dumps(1)):
        with pytest.raises(BadEntryError):
            disk.get(pickle.dumps("x"), raw)
        with pytest.raises(BadEntryError):
            disk.get(KEY, raw)


@pytest.mark.parametrize("mode", [0, 3, 4, 5, -1, None, "1", 2.5])
def test_other_modes_are_refused(disk: BytesDisk, mode: object) -> None:
    for filename, value in ((None, pickle.dumps("x")), ("aa/" + "b" * 30 + ".val", None), (None, "text")):
        with pytest.raises(BadEntryError):
            disk.fetch(mode, filename, value, False)


@pytest.mark.parametrize("value", ["text", 1, None, 1.5])
def test_raw_values_are_bytes_only(disk: BytesDisk, value: object) -> None:
    with pytest.raises(BadEntryError):
        disk.fetch(MODE_RAW, None, value, False)


OUTSIDE = [
    "/etc/passwd",
    "../secret.val",
    "ab/../../secret.val",
    "ab/" + "c" * 30 + ".val/../../../secret.val",
    "cache.db",
    "ab/" + "C" * 30 + ".val",
    "ab/" + "c" * 29 + ".val",
    "ab/" + "c" * 30 + ".val\n",
    "ab/" + "c" * 30 + ".val\x00",
    "",
    None,
    7,
    b"ab/" + b"c" * 30 + b".val",
]


@pytest.mark.parametrize("filename", OUTSIDE)
def test_other_files_are_neither_read_nor_deleted(disk: BytesDisk, tmp_path: Path, filename: object) -> None:
    secret = tmp_path / "secret.val"
    secret.write_bytes(b"secret")
    (tmp_path / "cache" / "ab").mkdir()
    (tmp_path / "cache" / "cache.db").write_bytes(b"index")
    with pytest.raises(BadEntryError):
        disk.fetch(MODE_BINARY, filename, None, False)
    disk.remove(filename)
    assert secret.read_bytes() == b"secret"
    assert (tmp_path / "cache" / "cache.db").exists()


def test_links_are_not_followed(disk: BytesDisk, tmp_path: Path) -> None:
    cache, name = tmp_path / "cache", "c" * 30 + ".val"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / name).write_bytes(b"secret")
    (cache / "aa").mkdir()
    (cache / "aa" / name).symlink_to(tmp_path / "outside" / name)
    (cache / "bb").symlink_to(tmp_path / "outside")
    for folder in ("aa", "bb"):
        with pytest.raises(BadEntryError):
            disk.fetch(MODE_BINARY, f"{folder}/{name}", None, False)
        disk.remove(f"{folder}/{name}")
    assert (tmp_path / "outside" / name).read_bytes() == b"secret"


def test_a_pipe_in_place_of_a_file_does_not_block(disk: BytesDisk, tmp_path: Path) -> None:
    (tmp_path / "cache" / "aa").mkdir()
    os.mkfifo(tmp_path / "cache" / "aa" / ("c" * 30 + ".val"))
    with pytest.raises(BadEntryError, match="regular"):
        disk.fetch(MODE_BINARY, "aa/" + "c" * 30 + ".val", None, False)


def test_a_stored_file_whose_row_fails_is_removed(disk: BytesDisk, tmp_path: Path) -> None:
    disk.store(b"x" * 1000, False, KEY)
    disk.discard()
    assert list((tmp_path / "cache").glob("*/*")) == []
    disk.store(b"x" * 1000, False, KEY)
    disk.keep()
    disk.discard()
    assert len(list((tmp_path / "cache").glob("*/*"))) == 1


def test_both_forms_of_the_file_name_agree() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        for name in [*OUTSIDE, "ab/" + "c" * 30 + ".val", "0f/" + "0a" * 15 + ".val"]:
            if type(name) is str and "\0" in name:
                continue  # SQLite's GLOB ends at a NUL; `fetch` refuses such a name
            (globbed,) = database.execute("SELECT typeof(?1) = 'text' AND ?1 GLOB ?2", (name, FILE_GLOB)).fetchone()
            assert bool(globbed) == (type(name) is str and FILE.fullmatch(name) is not None), name


def test_the_seal_finds_every_flipped_bit_and_a_swapped_key() -> None:
    data = os.urandom(200)
    sealed = seal(KEY, data)
    assert unseal(KEY, sealed) == data
    rng = np.random.default_rng(0)
    for _ in range(2000):
        broken = bytearray(sealed)
        broken[rng.integers(0, len(sealed))] ^= 1 << int(rng.integers(0, 8))
        with pytest.raises(BadEntryError):
            unseal(KEY, bytes(broken))
    for other in (sealed[:-1], sealed + b"\0", b"", sealed[:20], data, None, "text", bytearray(sealed)):
        with pytest.raises(BadEntryError):
            unseal(KEY, other)
    with pytest.raises(BadEntryError):
        unseal("cd" * 32, sealed)
    # A boundary moved between key and data.
    with pytest.raises(BadEntryError):
        unseal(KEY[:-1], seal(KEY, b"x")[:24] + KEY[-1:].encode() + b"x")
