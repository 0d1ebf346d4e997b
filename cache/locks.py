"""Locks between threads and processes; the system itself takes one back when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = "locks"


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

    path = folder / LOCKS / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
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
