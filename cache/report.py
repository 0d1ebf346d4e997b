"""What the cache says about itself: figures, what a check of every entry found, and what the user should be told."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path

log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """The cache in figures.

    Attributes:
        folder: Where it is.
        reason: Why there.
        entries: How many layers it holds.
        bytes: What it takes on disk.
        limit_bytes: From where on the least recently used entries go.
        dropped: Bad entries dropped since it was opened.
    """

    folder: Path
    reason: str
    entries: int
    bytes: int
    limit_bytes: int
    dropped: int


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of the whole cache found.

    Attributes:
        checked: Entries read.
        bad: (key, reason) of each entry that is damaged.
        orphans: Files that no entry points to.
        index: What is wrong with the index itself, or "".
        repaired: Whether the bad entries and orphans are now gone.
    """

    checked: int
    bad: tuple[tuple[str, str], ...]
    orphans: tuple[str, ...]
    index: str
    repaired: bool

    @property
    def ok(self) -> bool:
        """Whether nothing at all was found."""
        return not (self.bad or self.orphans or self.index)


class Notices:
    """Sentences for the user, each kind at most once. Usable from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: list[str] = []
        self._said: set[str] = set()

    def add(self, kind: str, notice: str) -> None:
        """Adds a notice unless one of its kind was there before."""
        with self._guard:
            if kind in self._said:
                return
            self._said.add(kind)
            self._waiting.append(notice)
        log.warning("%s", notice)

    def take(self) -> tuple[str, ...]:
        """The notices that were not taken yet."""
        with self._guard:
            taken, self._waiting = tuple(self._waiting), []
        return taken
