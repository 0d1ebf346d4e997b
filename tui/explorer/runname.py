"""Names for new run files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flowtui.errors import FlowtuiError
from flowtui.tui.text import visible

MAX_NAMES = 10_000


def free_name(like: Path) -> Path:
    """The first name beside a run file that nothing has yet: <stem>-2.pkl and so on."""
    return next((path for path in _names(like) if not path.exists() and not path.is_symlink()), like)


def claim(like: Path, *, itself: bool = False) -> Path:
    """Makes an empty file by the first free name, so that nobody else takes it.

    Args:
        like: What the names are like.
        itself: Whether it is the first of them.

    Raises:
        FlowtuiError: No file can be made there.
    """
    for path in (*([like] if itself else []), *_names(like)):
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        except OSError as error:
            name = visible(path.name)
            raise FlowtuiError(f"{name} was not written: {error.strerror or error}.") from error
        return path
    raise FlowtuiError(f"There are {MAX_NAMES} runs by the name of {visible(like.stem)} already.")


def _names(like: Path) -> Iterator[Path]:
    return (like.with_name(f"{like.stem}-{i}.pkl") for i in range(2, MAX_NAMES))
