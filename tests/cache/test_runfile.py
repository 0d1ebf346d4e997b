"""Run files: round trips, refusals, and that no failure of writing loses the old file."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowtui.cache.plain import Limits
from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.results import Run
from flowtui.errors import RunFileError
from tests.factories import random_run

PLAIN: dict[str, Any] = {"a": [1, 2.5, None, True, "ü", b"\x00\xff"], "b": ({}, ())}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_round_trip(tmp_path: Path) -> None:
    write_plain(tmp_path / "run.pkl", PLAIN)
    assert read_plain(tmp_path / "run.pkl") == PLAIN
    assert names(tmp_path) == ["run.pkl"]
    # And the format really is a pickle.
    assert pickle.loads((tmp_path / "run.pkl").read_bytes()) == PLAIN


def test_a_whole_run_round_trips(tmp_path: Path) -> None:
    plain = random_run(seed=3).to_plain()
    write_plain(tmp_path / "run.pkl", plain)
    assert read_plain(tmp_path / "run.pkl") == plain
    assert Run.from_plain(read_plain(tmp_path / "run.pkl")).to_plain() == plain


def test_equal_data_gives_equal_bytes_whatever_is_shared(tmp_path: Path) -> None:
    shared = ["x" * 10]
    write_plain(tmp_path / "a", [shared, shared])
    write_plain(tmp_path / "b", [["x" * 10], ["".join(["x"] * 10)]])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [{1}, object(), {1: 2}, bytearray(), "\ud800", 1 << 600, 1j])
def test_only_plain_data_is_written(tmp_path: Path, value: object) -> None:
    (tmp_path / "run.pkl").write_bytes(b"old")
    with pytest.raises(RunFileError, match="cannot be written"):
        write_plain(tmp_path / "run.pkl", {"x": value})
    assert (tmp_path / "run.pkl").read_bytes() == b"old"
    assert names(tmp_path) == ["run.pkl"]


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(RunFileError, match="levels deep"):
        write_plain(tmp_path / "run.pkl", cycle)


def test_what_is_written_can_be_read_at_the_cap(tmp_path: Path) -> None:
    # The worst case for the opcode cap: every value costs the most opcodes.
    limits = Limits(opcodes=4000, nodes=1000)
    write_plain(tmp_path / "a", [{"k": [[[]]]}] * 180, limits)
    read_plain(tmp_path / "a", limits)
    with pytest.raises(RunFileError, match="more than 1000 values"):
        write_plain(tmp_path / "a", [None] * 1001, limits)


def replace_creation(monkeypatch: pytest.MonkeyPatch, create: Callable[[], Any]) -> None:
    """Lets `create` take the place of every creation of a file through os.open."""
    real = os.open

    def fake(path: Any, flags: int, *more: Any, **named: Any) -> Any:
        return create() if flags & os.O_CREAT else real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", fake)


class Crash(BaseException):
    """Stands for Ctrl-C or a kill in the middle."""


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace", "crash"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_no_failure_loses_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, old: bytes | None
) -> None:
    path = tmp_path / "run.pkl"
    if old is not None:
        path.write_bytes(old)

    def fail(*_: object, **__: object) -> Any:
        raise Crash if step == "crash" else OSError(errno.ENOSPC, "No space left on device")

    if step == "open":
        replace_creation(monkeypatch, fail)
    elif step == "write":
        monkeypatch.setattr(pickle, "Pickler", lambda *_: type("Failing", (), {"dump": fail})())
    elif step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, "replace", fail)
    if step == "crash":
        with pytest.raises(Crash):
            write_plain(path, PLAIN)
    else:
        with pytest.raises(RunFileError, match="the disk is full") as caught:
            write_plain(path, PLAIN)
        assert "Free some space" in caught.value.hint
    assert names(tmp_path) == ([] if old is None else ["run.pkl"])
    assert old is None or path.read_bytes() == old


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_shows_at_the_latest_on_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real ENOSPC from the kernel, at whichever of write, flush or close it appears.
    real = os.open
    replace_creation(monkeypatch, lambda: real("/dev/full", os.O_WRONLY))
    with pytest.raises(RunFileError, match="the disk is full"):
        write_plain(tmp_path / "run.pkl", PLAIN)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EROFS, "cannot be written to"), (errno.EDQUOT, "quota"), (errno.EIO, "error")]
)
def test_other_faults_have_a_reason_and_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(RunFileError, match=words) as caught:
        write_plain(tmp_path / "run.pkl", PLAIN)
    assert "-o" in caught.value.hint


def test_the_folder_is_synced_after_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        seen.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        real_sync(handle)

    def replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_plain(tmp_path / "run.pkl", PLAIN)
    assert seen == ["file", "rename", "folder"]


def test_permissions_follow_the_umask_or_the_old_file(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_plain(tmp_path / "new", PLAIN)
        (tmp_path / "old").write_bytes(b"")
        (tmp_path / "old").chmod(0o604)
        write_plain(tmp_path / "old", PLAIN)
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o604


def test_a_link_keeps_pointing_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "run.pkl").write_bytes(b"old")
    (tmp_path / "link.pkl").symlink_to("real/run.pkl")
    write_plain(tmp_path / "link.pkl", PLAIN)
    assert (tmp_path / "link.pkl").is_symlink()
    assert read_plain(tmp_path / "real" / "run.pkl") == PLAIN
    assert names(tmp_path / "real") == ["run.pkl"]


@pytest.mark.parametrize("where", ["missing/run.pkl", "file/run.pkl", "folder", "x" * 300])
def test_places_that_cannot_be_written(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFileError) as caught:
        write_plain(tmp_path / where, PLAIN)
    assert caught.value.hint
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("missing.pkl", "There is no file"),
        ("folder", "folder"),
        ("pipe", "not a regular file"),
        ("file/x", "not a folder"),
    ],
)
def test_places_that_cannot_be_read(tmp_path: Path, where: str, words: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    # Opening a pipe that nobody writes to must not wait.
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunFileError, match=words) as caught:
        read_plain(tmp_path / where)
    assert where in caught.value.message
    assert caught.value.hint


def test_devices_are_refused() -> None:
    with pytest.raises(RunFileError, match="not a regular file"):
        read_plain("/dev/zero")


def test_size_is_checked_before_reading(tmp_path: Path) -> None:
    with (tmp_path / "huge.pkl").open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes no space
    with pytest.raises(RunFileError, match="more than"):
        read_plain(tmp_path / "huge.pkl")


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plain(tmp_path / "run.pkl", "x" * 100)
    size = (tmp_path / "run.pkl").stat().st_size
    fake = os.stat_result((0o100644, 0, 0, 1, 0, 0, 10, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda _: fake)
    assert read_plain(tmp_path / "run.pkl", Limits(file_bytes=size)) == "x" * 100
    with pytest.raises(RunFileError, match="larger than"):
        read_plain(tmp_path / "run.pkl", Limits(file_bytes=size - 1))


def test_reading_imports_nothing_heavy(tmp_path: Path) -> None:
    write_plain(tmp_path / "run.pkl", PLAIN)
    code = (
        "import sys; from flowtui.cache.runfile import read_plain; read_plain(sys.argv[1]);"
        "print([m for m in ('diskcache', 'filelock', 'sqlite3', 'numpy', 'torch', 'platformdirs') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run.pkl")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
