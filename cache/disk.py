"""diskcache's storage layer, cut down to what cannot harm: text keys, bytes values, files of its own naming.

The original unpickles values, keys and settings that anyone who can write to the folder may have put there
(CVE-2025-69872), opens any path found in a row and deletes outside its folder. This one does none of it.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import diskcache

KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")
FILE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}\.val")
FILE_GLOB = "[0-9a-f]" * 2 + "/" + "[0-9a-f]" * 30 + ".val"
MODE_RAW, MODE_BINARY = 1, 2
MAX_VALUE_BYTES = 1 << 31

MAGIC = b"flowtui1"
_DIGEST_BYTES = 16
OVERHEAD_BYTES = len(MAGIC) + _DIGEST_BYTES


class BadEntryError(Exception):
    """A stored entry that is damaged or was tampered with; never leaves this folder."""


def seal(key: str, data: bytes) -> bytes:
    """Puts a checksum over key and data in front of the data."""
    return MAGIC + _digest(key, data) + data


def unseal(key: str, sealed: object) -> bytes:
    """Checks and removes what `seal` put in front.

    Raises:
        BadEntryError: The checksum is not that of this key and data.
    """
    if type(sealed) is not bytes or not sealed.startswith(MAGIC) or len(sealed) < OVERHEAD_BYTES:
        raise BadEntryError("it is not a cache entry")
    data = sealed[OVERHEAD_BYTES:]
    if sealed[len(MAGIC) : OVERHEAD_BYTES] != _digest(key, data):
        raise BadEntryError("its checksum does not match")
    return data


def _digest(key: str, data: bytes) -> bytes:
    # The key is part of it, so that an entry moved to another key is found out too.
    digest = blake2b(len(key).to_bytes(4, "little") + key.encode(), digest_size=_DIGEST_BYTES)
    digest.update(data)
    return digest.digest()


class BytesDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no types
    """Stores bytes under text keys; every other kind of key, value, mode or file name is a `BadEntryError`."""

    def __init__(self, directory: str, min_file_size: int = 0, **_: object) -> None:
        super().__init__(directory, min_file_size)
        self._pending = threading.local()

    def put(self, key: object) -> tuple[str, bool]:
        """A key as the database has it."""
        if type(key) is not str or not KEY.fullmatch(key):
            raise BadEntryError("its key is not one of flowtui's")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """A key from the database."""
        if raw != 1:
            raise BadEntryError("its key is not one of flowtui's")
        return self.put(key)[0]

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, str | None, bytes | None]:
        """Stores bytes: (size of the file, mode, file name, value in the row)."""
        if read or type(value) is not bytes:
            raise BadEntryError("its value is not bytes")
        if len(value) < self.min_file_size:
            return 0, MODE_RAW, None, value
        name, path = self.filename()
        Path(path).parent.mkdir(mode=0o700, exist_ok=True)
        # Set first: `discard` must also find a file that a full disk left half written.
        self._pending.path = path
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(value)
        return len(value), MODE_BINARY, name, None

    def keep(self) -> None:
        """The row of the last stored file is committed."""
        self._pending.path = None

    def discard(self) -> None:
        """Removes the last stored file: its row was not committed."""
        if path := getattr(self._pending, "path", None):
            with suppress(OSError):
                Path(path).unlink()
        self._pending.path = None

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        """Bytes of a row."""
        if mode == MODE_RAW and type(value) is bytes and filename is None and not read:
            return value
        if mode == MODE_BINARY and value is None and not read:
            return _read_file(self._path(filename))
        raise BadEntryError("it is stored in a way that flowtui never uses")

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        """A new random file name: (relative, absolute)."""
        digits = os.urandom(16).hex()
        name = f"{digits[:2]}/{digits[2:]}.val"
        return name, os.path.join(self._directory, name)  # noqa: PTH118  (diskcache wants text)

    def remove(self, file_path: object) -> None:
        """Removes a value's file; a name that is not its own is left alone."""
        with suppress(OSError, BadEntryError):
            self._path(file_path).unlink()

    def _path(self, filename: object) -> Path:
        if type(filename) is not str or not FILE.fullmatch(filename):
            raise BadEntryError("it names a file that is not the cache's")
        path = Path(self._directory, filename)
        if path.parent.is_symlink():
            raise BadEntryError("its file lies behind a link")
        return path


def _read_file(path: Path) -> bytes:
    try:
        # Read, not mapped: a mapped file that another process cuts short kills the reader.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BadEntryError("its file is missing") from None
    except OSError as error:
        # An OSError would be taken for a miss by diskcache, and the row would stay.
        raise BadEntryError(f"its file cannot be opened ({error.strerror})") from None
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_VALUE_BYTES:
            raise BadEntryError("its file is not a regular file of a sensible size")
        try:
            return file.read(MAX_VALUE_BYTES)
        except OSError as error:
            raise BadEntryError(f"its file cannot be read ({error.strerror})") from None
