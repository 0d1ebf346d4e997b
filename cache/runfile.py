"""Run files on disk: plain data in a pickle, written whole or not at all, read without running anything."""

from __future__ import annotations

import fcntl
import os
import pickle
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from flowtui.errors import RunFileError

from .faults import hint_for, reason_of
from .pickledata import loads
from .plain import LIMITS, Limits, NotPlainError, check_plain, shown

PROTOCOL = 4
_PREFIX, _SUFFIX = ".flowtui-", ".tmp"


def read_plain(path: str | os.PathLike[str], limits: Limits = LIMITS) -> object:
    """Reads a run file's plain data.

    Args:
        path: A regular file.
        limits: Caps on what is read.

    Returns:
        Plain data, not yet checked to be a run.

    Raises:
        RunFileError: The file cannot be read, or is not plain data within the limits.
    """
    name = shown(path)
    try:
        # Without O_NONBLOCK the open of a named pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise RunFileError(f"{name} is not a regular file.", "Give the path of a run file.")
            if info.st_size > limits.file_bytes:
                raise RunFileError(
                    f"{name} is refused: it has {info.st_size} bytes, more than {limits.file_bytes}.",
                    "A run file is never that large.",
                )
            # One byte more than allowed: the file may be growing.
            data = file.read(limits.file_bytes + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError):
            hint = "Make one with: flowtui run IMAGE QUESTION -o run.pkl"
            raise RunFileError(f"There is no file {name}.", hint) from None
        reason = reason_of(error) if not isinstance(error, PermissionError) else "reading it is not permitted"
        raise RunFileError(f"{name} cannot be read: {reason}.", "Give the path of a run file.") from error
    remove_dead(Path(os.path.realpath(path)).parent)
    return loads(data, path, limits)


def write_plain(path: str | os.PathLike[str], plain: object, limits: Limits = LIMITS) -> None:
    """Writes plain data so that the file is, at every moment, either the old one or the whole new one.

    Equal data gives equal bytes. An existing file keeps its permissions; a link keeps pointing where it points.

    Args:
        path: Where to; its folder must exist.
        plain: Plain data.
        limits: Caps on what is written, so that it can be read again.

    Raises:
        RunFileError: It is not plain data, or it cannot be written; an existing file is then as it was.
    """
    name = shown(path)
    try:
        if check_plain(plain, limits) > limits.opcodes:
            raise NotPlainError(f"reading it would take more than {limits.opcodes} steps")
    except NotPlainError as error:
        raise RunFileError(f"{name} cannot be written: {error}.", "This is a fault of flowtui: report it.") from None
    target = Path(os.path.realpath(path))
    temporary = target.parent / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
    try:
        remove_dead(target.parent)
        _write_beside(temporary, target, plain, limits)
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        hint = hint_for(reason, "choose another place with -o")
        raise RunFileError(f"{name} cannot be written: {reason}.", hint) from error
    finally:
        # Gone already after the rename; still there after any failure, Ctrl-C included.
        with suppress(OSError, ValueError):
            temporary.unlink()


def remove_dead(folder: Path) -> None:
    """Removes what writers that were killed left in a folder; a living writer holds its file locked."""
    with suppress(OSError, ValueError):
        for name in os.listdir(folder):  # noqa: PTH208  (Path.iterdir makes a path of each of very many)
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                with suppress(OSError):
                    handle = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                    try:
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        (folder / name).unlink()
                    finally:
                        os.close(handle)


def _write_beside(temporary: Path, target: Path, plain: object, limits: Limits) -> None:
    # Created with 0666 and not by tempfile, so that the user's umask decides as for any other file.
    handle = _open_locked(temporary)
    with os.fdopen(handle, "wb") as file:
        with suppress(FileNotFoundError):
            info = target.stat()
            if not stat.S_ISREG(info.st_mode):
                raise RunFileError(f"{shown(target)} is not a regular file.", "Choose another place with -o.")
            os.fchmod(handle, stat.S_IMODE(info.st_mode) & 0o777)
        pickler = pickle.Pickler(file, PROTOCOL)
        # No memo: equal data gives equal bytes, whichever objects happen to be shared.
        pickler.fast = True
        pickler.dump(plain)
        file.flush()
        if file.tell() > limits.file_bytes:
            raise RunFileError(
                f"{shown(target)} cannot be written: it would be larger than {limits.file_bytes} bytes.",
                "Analyse fewer answer tokens, or smaller images.",
            )
        os.fsync(handle)
        # While it is open, and so locked: nobody takes it for a dead writer's.
        temporary.replace(target)


def _open_locked(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # where locks do not work, nobody removes what is not locked
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return handle
        # Taken for a dead writer's, between the two lines above.
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself survive a power cut. Where a folder cannot be synced, the file is whole anyway.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
