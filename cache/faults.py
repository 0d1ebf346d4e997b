"""What went wrong on disk, in words: one reason and one hint for each fault of the system or of SQLite."""

from __future__ import annotations

import errno
import sqlite3

FULL = "the disk is full"
READ_ONLY = "the folder cannot be written to"
LOCKED = "another process keeps it locked"

_BY_ERRNO = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: READ_ONLY,
    errno.EACCES: READ_ONLY,
    errno.EPERM: READ_ONLY,
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EIO: "the disk reports an input/output error",
}
_BY_SQLITE_CODE = {
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: READ_ONLY,
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: "the disk reports an input/output error",
    sqlite3.SQLITE_CORRUPT: "its index is damaged",
    sqlite3.SQLITE_NOTADB: "its index is damaged",
}
_HINTS = {
    FULL: "Free some space",
    "the disk quota is used up": "Free some space",
    READ_ONLY: "Check the folder's permissions",
    LOCKED: "Wait for the other process, or end it",
    "its index is damaged": "Run: flowtui cache verify --repair",
}


def reason_of(error: BaseException) -> str:
    """Says in words what an OSError or an sqlite3.Error means."""
    if isinstance(error, sqlite3.Error):
        # Extended codes keep the primary one in the low byte.
        known = _BY_SQLITE_CODE.get((getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF)
        if known is None and isinstance(error.__context__, sqlite3.Error):
            # A failed rollback after the failure that matters.
            return reason_of(error.__context__)
        return known or str(error)
    if isinstance(error, OSError):
        return _BY_ERRNO.get(error.errno or 0, error.strerror or str(error))
    if type(error).__name__ == "Timeout":
        return LOCKED
    return str(error) or type(error).__name__


def hint_for(reason: str, otherwise: str) -> str:
    """What to do about a reason: its own hint, if it has one, and another way out."""
    own = _HINTS.get(reason)
    return f"{own}, or {otherwise}." if own else f"{otherwise[0].upper()}{otherwise[1:]}."
