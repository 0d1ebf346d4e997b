"""Locks where a stranger has filled the cache folder."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from flowtui.cache.locks import LOCKS, InUse, locked
from flowtui.cache.store import LayerCache
from flowtui.cache.sweep import sweep


def test_a_linked_lock_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (tmp_path / LOCKS).mkdir()
    for name in ("open", "in-use"):
        (tmp_path / LOCKS / name).symlink_to(outside)
    with pytest.raises(OSError), locked(tmp_path, "open", 0):  # noqa: PT011  (which one differs by system)
        pass
    with pytest.raises(OSError):  # noqa: PT011
        InUse(tmp_path)
    assert not outside.exists()


def test_nothing_is_made_or_removed_in_a_linked_folder(tmp_path: Path) -> None:
    outside, cache = tmp_path / "outside", tmp_path / "cache"
    outside.mkdir()
    with LayerCache.open(cache) as store:
        assert store.put("0" * 64, b"x", analysis="cam", layer=1, model="demo")
    shutil.rmtree(cache / LOCKS)
    old = outside / "theirs.lock"
    old.touch()
    os.utime(old, (time.time() - 1e7,) * 2)
    (cache / LOCKS).symlink_to(outside)
    with pytest.raises(OSError), locked(cache, "open", 0):  # noqa: PT011
        pass
    with pytest.raises(OSError):  # noqa: PT011
        InUse(cache)
    sweep(cache, 0.0, 0.0)
    assert [path.name for path in outside.iterdir()] == ["theirs.lock"]
