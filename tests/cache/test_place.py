"""Which folder the cache takes, and whose it must be."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from flowtui.cache.place import choose_place, ensure_folder, network_type
from flowtui.errors import CacheError

LOCAL = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"


def mounted(kind: str, point: Path | str) -> str:
    escaped = str(point).replace(" ", "\\040")
    return f"{LOCAL}36 22 0:40 / {escaped} rw,relatime shared:1 - {kind} server:/home rw\n"


def test_the_users_cache_folder_is_the_first_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    place = choose_place({}, LOCAL)
    assert place.path.name == "layers"
    assert "user's cache folder" in place.reason
    assert not place.path.exists()


def test_the_variable_overrides(tmp_path: Path) -> None:
    place = choose_place({"FLOWTUI_CACHE_DIR": str(tmp_path / "mine")}, LOCAL)
    assert place.path == tmp_path / "mine" / "layers"
    assert "FLOWTUI_CACHE_DIR" in place.reason


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "lustre", "gpfs", "9p", "fuse.sshfs", "fuse.glusterfs"])
def test_a_network_file_system_is_left_for_scratch(tmp_path: Path, kind: str) -> None:
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    scratch.mkdir()
    environ = {"FLOWTUI_CACHE_DIR": str(home / "me" / "cache"), "SLURM_TMPDIR": str(scratch)}
    place = choose_place(environ, mounted(kind, home))
    assert place.path == scratch / f"flowtui-{os.geteuid()}-layers"
    assert kind in place.reason
    assert str(home) in place.reason


def test_scratch_on_the_network_is_passed_over(tmp_path: Path) -> None:
    home, far, near = tmp_path / "home", tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    mounts = mounted("nfs4", home) + f"37 22 0:41 / {far} rw - nfs server:/far rw\n"
    environ = {"FLOWTUI_CACHE_DIR": str(home), "SLURM_TMPDIR": str(far), "TMPDIR": str(near)}
    assert choose_place(environ, mounts).path.parent == near


def test_no_local_place_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="network file system") as caught:
        choose_place({"FLOWTUI_CACHE_DIR": str(tmp_path)}, "22 1 8:1 / / rw - nfs server:/ rw\n")
    assert "FLOWTUI_CACHE_DIR" in caught.value.hint


def test_the_deepest_and_latest_mount_decides(tmp_path: Path) -> None:
    nfs = mounted("nfs", tmp_path)
    assert network_type(tmp_path / "a" / "b", nfs) == "nfs"
    assert network_type(tmp_path.parent, nfs) is None
    assert network_type(Path(f"{tmp_path}-sibling"), nfs) is None
    assert network_type(tmp_path / "a" / "b", nfs + f"40 36 8:2 / {tmp_path}/a rw - xfs /dev/sdb rw\n") is None
    assert network_type(tmp_path / "a", nfs + f"41 36 8:2 / {tmp_path} rw - tmpfs tmpfs rw\n") is None
    assert network_type(tmp_path / "with space" / "x", mounted("cifs", tmp_path / "with space")) == "cifs"
    assert network_type(tmp_path, mounted("fuse.ntfs", tmp_path)) is None
    assert network_type(tmp_path, "garbage\n\n1 2 3 - x\n") is None


def test_a_link_to_the_network_counts_as_the_network(tmp_path: Path) -> None:
    (tmp_path / "nfs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nfs")
    assert network_type(tmp_path / "link" / "x", mounted("nfs", tmp_path / "nfs")) == "nfs"


def test_this_machines_own_mounts_can_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLOWTUI_CACHE_DIR", str(tmp_path))
    assert choose_place().reason


def test_the_folder_is_made_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        ensure_folder(tmp_path / "a" / "b" / "layers")
    finally:
        os.umask(old)
    assert (tmp_path / "a" / "b" / "layers").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b" / "layers").iterdir()) == []


def test_a_cache_folder_open_to_others_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "layers"
    (folder / "a0").mkdir(parents=True)
    (folder / "cache.db-wal").touch()
    folder.chmod(0o755)
    ensure_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_other_files_keeps_its_permissions(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "thesis.tex").touch()
    folder.chmod(0o775)
    with pytest.raises(CacheError, match="thesis"):
        ensure_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o775


def test_the_folder_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layers").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(CacheError, match="not to you"):
        ensure_folder(tmp_path / "layers")


def test_a_link_is_refused(tmp_path: Path) -> None:
    # In a scratch folder anyone may have put it there.
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "layers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheError, match="a link or a file"):
        ensure_folder(tmp_path / "layers")


@pytest.mark.parametrize("where", ["file", "file/layers"])
def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="a file, not a folder") as caught:
        ensure_folder(tmp_path / where)
    assert "FLOWTUI_CACHE_DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EROFS, "cannot be written to"), (errno.EACCES, "cannot be written to"), (errno.ENOSPC, "full")],
)
def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(CacheError, match=words) as caught:
        ensure_folder(tmp_path / "layers")
    assert caught.value.hint
