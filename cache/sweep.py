"""Files that nobody needs any more: values whose process was killed before it wrote their row, and old lock files."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from . import index
from .disk import FILE
from .locks import LOCKS, lock_file

ORPHAN_AGE_S = 600.0
LOCK_FILE_AGE_S = 86_400.0


def orphans(folder: Path, age_s: float = ORPHAN_AGE_S) -> tuple[str, ...]:
    """Names the value files no row points to; younger ones may be another process' that is about to write its row.

    Raises:
        sqlite3.Error: The index cannot be read.
    """
    oldest = time.time() - age_s
    names = [path.relative_to(folder).as_posix() for path in folder.glob("[0-9a-f][0-9a-f]/*.val")]
    # Listed before the rows are read: a file that gets its row in between is then known to both.
    known = index.files(folder)
    found = []
    for name in names:
        with suppress(OSError):
            if FILE.fullmatch(name) and name not in known and (folder / name).lstat().st_mtime <= oldest:
                found.append(name)
    return tuple(sorted(found))


def sweep(folder: Path, age_s: float = ORPHAN_AGE_S, lock_age_s: float = LOCK_FILE_AGE_S) -> tuple[str, ...]:
    """Removes orphans, and lock files that nobody holds or has used for long; returns the orphans' names.

    Raises:
        sqlite3.Error: The index cannot be read.
    """
    found = orphans(folder, age_s)
    for name in found:
        with suppress(OSError):
            (folder / name).unlink()
    _sweep_locks(folder, lock_age_s)
    return found


def _sweep_locks(folder: Path, age_s: float) -> None:
    from filelock import FileLock, Timeout

    oldest = time.time() - age_s
    for path in (folder / LOCKS).glob("*.lock"):
        with suppress(OSError, Timeout):
            if path.lstat().st_mtime <= oldest:
                # While holding it, so that nobody else can: a holder of an unlinked file would guard nothing.
                with FileLock(lock_file(folder, path.name), timeout=0, thread_local=False):
                    path.unlink()
