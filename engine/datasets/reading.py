"""Reads the files of data sets and answers; what is wrong with one is said in a sentence, with its name. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowtui.errors import UsageError

NAMES_IN_A_NOTE = 3
"""How many names a note gives after its count."""

Row = Mapping[str, Any]


def find_files(given: Sequence[Path], patterns: Sequence[str], what: str) -> list[Path]:
    """The files that were given, and those of the folders that were given which fit a pattern, sorted.

    Raises:
        UsageError: Nothing was given, a file does not exist, or a folder holds nothing that fits.
    """
    if not given:
        raise UsageError(f"No {what} are given.", f"Give the official files with --questions: {', '.join(patterns)}.")
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        fitting = sorted({file for pattern in patterns for file in path.glob(pattern) if file.is_file()})
        if not fitting:
            raise UsageError(f"The folder {path} holds no {what}.", f"Expected are files like {', '.join(patterns)}.")
        found += fitting
    return found


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        UsageError: It cannot be read or is no text.
    """
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(f"{path} cannot be read: {reason}.") from error


def read_json(path: Path) -> Any:
    """A file that is JSON, or JSON Lines, which come as a list of their objects.

    Raises:
        UsageError: It is neither.
    """
    text = read_text(path)
    if not text.strip():
        raise UsageError(f"{path} is empty.")
    try:
        return json.loads(text)
    except RecursionError:
        raise UsageError(f"{path} cannot be read: its JSON is nested too deeply.") from None
    except ValueError as error:
        first = text.lstrip().partition("\n")[0]
        if not _is_object(first):
            where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "a number in it"
            raise UsageError(f"{path} is neither JSON nor JSON Lines: {where} is damaged.") from error
    return _lines(path, text)


def read_rows(path: Path) -> list[Row]:
    """A file of objects: JSON Lines, or a JSON list of objects.

    Raises:
        UsageError: It is something else.
    """
    rows = read_json(path)
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path} is no list of objects.", "Expected is JSON Lines: one object on each line.")
    return rows


def field(row: Row, name: str, kind: type | tuple[type, ...], path: Path, number: int) -> Any:
    """One field of a row.

    Args:
        row: An object of the file.
        name: Of the field.
        kind: What it must be.
        path: The file, for the message.
        number: Of the row, from 1.

    Raises:
        UsageError: It is missing or of another kind.
    """
    value = row.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        state = "no" if name not in row else "a strange"
        raise UsageError(f"{path}: row {number} has {state} {name!r}.", "Is it the right file for this data set?")
    return value


def note(count: int, of: int | None, text: str, names: Iterable[str]) -> str:
    """A count with the first few names: "12 of 3,000 images are missing: a.jpg, b.jpg, c.jpg, ..."."""
    shown = list(names)
    first = ", ".join(shown[:NAMES_IN_A_NOTE]) + (", ..." if len(shown) > NAMES_IN_A_NOTE else ".")
    total = "" if of is None else f" of {of:,}"
    return f"{count:,}{total} {text}: {first}"


def _lines(path: Path, text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}: line {number} is not JSON.", "Was the file cut off?") from error
    return rows


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
