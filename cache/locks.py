"""Locks between threads and processes; the system itself takes one back when its holder dies."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = "locks"


def lock_file(folder: Path, name: str) -> Path:
    """Path of a lock, in a folder of locks that is there.

    A link is never followed: in a folder that a stranger has filled it would have files made, and removed, elsewhere.

    Raises:
        OSError: It, or its folder, cannot be made or is a link.
    """
    path = folder / LOCKS / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for each in (path.parent, path):
        if each.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(each))
    return path


@contextmanager
def locked(folder: Path, name: str, wait_s: float | None) -> Iterator[bool]:
    """Holds the lock of a name.

    Args:
        folder: The cache folder.
        name: File name of the lock.
        wait_s: How long to wait for another holder; None for as long as it takes, 0 to try once.

    Yields:
        Whether it is held.

    Raises:
        OSError: Locks do not work here.
    """
    from filelock import FileLock, Timeout

    path = lock_file(folder, name)
    # Not thread-local: what is taken in one thread may be given back in another.
    lock = FileLock(path, thread_local=False, mode=0o600)
    try:
        lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s))
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):
            lock.release()


class InUse:
    """Says that a cache is open in this process, to others that would remove what only a dead process can have left."""

    def __init__(self, folder: Path) -> None:
        """Says so; to be made while holding the lock of opening. `alone` tells whether no other process has it open.

        Raises:
            OSError: Locks do not work here.
        """
        path = lock_file(folder, "in-use")
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.alone = True
        except BlockingIOError:
            self.alone = False
        except OSError:
            os.close(self._handle)
            raise

    def share(self) -> None:
        """Lets others open the cache too; nobody is alone any more."""
        self.alone = False
        # Opening goes one at a time, so this never has to wait; where it would, better no lock than a wait.
        with suppress(OSError):
            fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def close(self) -> None:
        """The cache is closed."""
        os.close(self._handle)
