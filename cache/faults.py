"""What went wrong on disk, in words: one reason and one hint for each fault of the system or of SQLite."""

from __future__ import annotations

import errno

FULL = "the disk is full"
READ_ONLY = "the folder cannot be written to"
LOCKED = "another process keeps it locked"
DAMAGED = "its index is damaged"

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
# SQLite's primary result codes, by number: run files are read without importing sqlite3.
_BY_SQLITE_CODE = {
    5: LOCKED,  # SQLITE_BUSY
    6: LOCKED,  # SQLITE_LOCKED
    8: READ_ONLY,  # SQLITE_READONLY
    10: "the disk reports an input/output error",  # SQLITE_IOERR
    11: DAMAGED,  # SQLITE_CORRUPT
    13: FULL,  # SQLITE_FULL
    14: READ_ONLY,  # SQLITE_CANTOPEN
    26: DAMAGED,  # SQLITE_NOTADB
}
_HINTS = {
    FULL: "Free some space",
    "the disk quota is used up": "Free some space",
    READ_ONLY: "Check the folder's permissions",
    LOCKED: "Wait for the other process, or end it",
    DAMAGED: "Run: flowtui cache verify --repair",
}


def reason_of(error: BaseException) -> str:
    """Says in words what an error of the system, of SQLite or of diskcache means."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        # Extended codes keep the primary one in the low byte.
        known = _BY_SQLITE_CODE.get(code & 0xFF)
        before = error.__context__
        if known is None and before is not None and hasattr(before, "sqlite_errorcode"):
            # A failed rollback after the failure that matters.
            return reason_of(before)
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
