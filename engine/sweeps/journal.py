"""The journal of a sweep: what has been computed so far, one line for each item, on disk before the next one starts.

JSON Lines. The first line says what the records follow from; each record is synced when it is written, so that killing
the process at any time loses at most the item that was in flight. A line that was cut off at the end is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flowtui.cache.faults import hint_for, reason_of
from flowtui.cache.plain import shown
from flowtui.engine.sequence import as_whole
from flowtui.errors import RunFileError, UsageError

Record = dict[str, Any]

FORMAT = "flowtui-sweep-journal"
VERSION = 1


def journal_path(output: Path) -> Path:
    """Where the journal of a sweep lies: beside it."""
    return output.with_name(output.name + ".journal")


class Journal:
    """An open journal, which no other process can open at the same time; a context manager.

    Attributes:
        path: Where it lies.
        records: Item -> its record.
        dropped: Bytes of a cut-off line at the end that were dropped.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Opens a journal, a new one where there is none.

        Args:
            path: Where it lies; its folder must exist.
            identity: What the records follow from.

        Raises:
            UsageError: It belongs to another sweep, or another process is writing it.
            RunFileError: It cannot be read or written, or is damaged before its end.
        """
        self.path = path
        self.records: dict[int, Record] = {}
        self.dropped = 0
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _failed(path, "opened", error) from error
        try:
            self._lock()
            self._read({"format": FORMAT, "version": VERSION, **identity})
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def add(self, record: Record) -> None:
        """Writes one item's record; it is on disk when this returns. One that is there already is not written again.

        Raises:
            RunFileError: The disk is full, or fails.
        """
        item = as_whole(record["item"])
        if item not in self.records:
            self._append(record)
            self.records[item] = record

    def remove(self) -> None:
        """Deletes the journal: what it held is safe elsewhere."""
        self.path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any]) -> None:
        data = _encode(line)
        try:
            while data:
                data = data[os.write(self._handle, data) :]
            os.fsync(self._handle)
        except OSError as error:
            raise _failed(self.path, "written", error) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another process is working on this sweep: it holds {self.path}.",
                "Wait for it, or give another place with -o.",
            ) from None
        except OSError:
            # A file system without locks: better an unguarded journal than none.
            pass

    def _read(self, header: dict[str, Any]) -> None:
        """Takes the records that are there, and cuts off what does not end in a line."""
        with os.fdopen(os.dup(self._handle), "rb") as file:
            file.seek(0)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        if not whole and not _encode(header).startswith(data):
            raise _foreign(self.path)
        lines = data[:whole].splitlines()
        found = [self._parse(number, line, len(lines)) for number, line in enumerate(lines, 1)]
        if found and found[-1] is None:
            whole -= len(lines[-1]) + 1
            found.pop()
        if found:
            self._compare(header, found[0])
            self.records = {as_whole(record["item"]): record for record in found[1:] if record is not None}
        self.dropped = len(data) - whole
        os.ftruncate(self._handle, whole)
        os.lseek(self._handle, 0, os.SEEK_END)
        if not found:
            self._append(header)

    def _parse(self, number: int, line: bytes, count: int) -> Record | None:
        """One line; None where it is the last one, and torn."""
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or (number > 1 and as_whole(record["item"]) < 0):
                raise ValueError("not a record")
        except (ValueError, KeyError, TypeError, RecursionError):
            if number == 1:
                raise _foreign(self.path) from None
            if number == count:
                return None
            raise RunFileError(
                f"{self.path} is damaged in line {number} of {count}.",
                f"To begin the sweep anew: rm {self.path}",
            ) from None
        return record

    def _compare(self, header: dict[str, Any], found: Record | None) -> None:
        if found is None or found.get("format") != FORMAT:
            raise _foreign(self.path)
        if found != json.loads(json.dumps(header)):
            raise UsageError(
                f"{self.path} was begun with another {shown(_difference(found, header))[:300]}.",
                f"Go on as it was begun, give another place with -o, or begin anew: rm {self.path}",
            )


def differences(was: Mapping[str, Any], is_: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two identities, in words: "limit (was 500, is 100)"."""
    words = []
    for name in sorted({*was, *is_}):
        a, b = was.get(name), is_.get(name)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            words += differences(a, b, "" if name == "options" else f"{name}.")
        else:
            words.append(f"{prefix}{name} (was {_short(a)}, is {_short(b)})")
    return words


def _difference(was: Mapping[str, Any], is_: Mapping[str, Any]) -> str:
    words = differences(was, is_)
    # Other questions follow from another limit or seed; on their own they mean that a file has changed.
    told = [word for word in words if not word.startswith("set of questions and images ")] or words
    return ", ".join(told)


def _encode(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _foreign(path: Path) -> RunFileError:
    return RunFileError(f"{path} is not the journal of a sweep.", "Give another place with -o.")


def _short(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _failed(path: Path, what: str, error: OSError) -> RunFileError:
    reason = reason_of(error)
    return RunFileError(f"{path} cannot be {what}: {reason}.", hint_for(reason, "choose another place with -o"))
