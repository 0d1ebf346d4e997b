"""A promise is a sentence and what tries to break it so many times; a trial is one run of that, with its counts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

AT_MOST = " at most"


@dataclass(slots=True)
class Trial:
    """One run of a promise. Every case draws from a generator of its own, so that one alone does what it did among all.

    Attributes:
        seed: What all random choices derive from.
        count: Cases asked for; None for every one there is.
        folder: Scratch folder, empty at first, removed afterwards.
        only: The one case to run again, or None.
        share: (i, n): every n-th case from the i-th on; the other processes of the same trial take the rest.
        until_s: `time.monotonic` at which no further case is begun, or None.
        counts: What was counted, by what it is called in a figure ("corrupt reads").
        failures: (case, what went wrong) of each case that broke the promise.
        complete: Whether no case was left out for want of time.
        say: Called with one line of progress now and then.
    """

    seed: int
    count: int | None
    folder: Path
    only: int | None = None
    share: tuple[int, int] = (0, 1)
    until_s: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[tuple[int, str]] = field(default_factory=list)
    complete: bool = True
    say: Callable[[str], None] = lambda line: None
    _said_s: float = field(default_factory=time.monotonic)

    def cases(self, total: int | None = None) -> Iterator[int]:
        """The numbers of the cases to run.

        Args:
            total: How many there are, where they can be listed; a run of fewer draws among them.
        """
        wanted = self._wanted(total)[self.share[0] :: self.share[1]]
        for done, case in enumerate(wanted):
            now = time.monotonic()
            if self.until_s is not None and now > self.until_s:
                self.complete = False
                return
            if now > self._said_s + 20:
                self._said_s = now
                self.say(f"{done:,} of {len(wanted):,}: {figure(self)}")
            yield case

    def rng(self, case: int) -> random.Random:
        """The random generator of a case."""
        return random.Random(f"{self.seed}/{case}")

    def add(self, what: str, by: int = 1) -> None:
        """Counts something; with 0 it is in the figure even where it never happens."""
        self.counts[what] = self.counts.get(what, 0) + by

    def most(self, what: str, value: float) -> None:
        """Keeps the largest value seen, rounded up; what is counted so is called "... at most"."""
        assert what.endswith(AT_MOST)
        self.counts[what] = max(self.counts.get(what, 0), -int(-value // 1))

    def fail(self, case: int, what: str) -> None:
        """The promise is broken."""
        self.failures.append((case, what))

    def join(self, other: Trial) -> None:
        """Adds what another process counted."""
        for what, value in other.counts.items():
            here = self.counts.get(what, 0)
            self.counts[what] = max(here, value) if what.endswith(AT_MOST) else here + value
        self.failures.extend(other.failures)
        self.complete &= other.complete

    def _wanted(self, total: int | None) -> range | list[int]:
        if self.only is not None:
            return [self.only]
        if total is None:
            assert self.count is not None, "a promise without an end needs a count"
            return range(self.count)
        if self.count is None or self.count >= total:
            return range(total)
        return sorted(random.Random(self.seed).sample(range(total), self.count))


@dataclass(frozen=True, slots=True)
class Promise:
    """Something that holds whatever happens.

    Attributes:
        name: On the command line.
        kind: Which of `make faults` and `make fuzz` runs it.
        sentence: What is promised.
        full: Cases of the full run; None for every one there is.
        short: Cases of the run inside `make test`.
        run: Runs the cases of a trial.
        cannot: Says why it cannot be tried here, or "".
    """

    name: str
    kind: Literal["faults", "fuzz"]
    sentence: str
    full: int | None
    short: int
    run: Callable[[Trial], None]
    cannot: Callable[[], str] = lambda: ""

    @property
    def command(self) -> str:
        """What runs it in full."""
        return f"python -m tests.trust {self.name} --full"

    def replay(self, seed: int, case: int) -> str:
        """What runs one case again."""
        return f"python -m tests.trust {self.name} --seed {seed} --case {case}"


def figure(trial: Trial) -> str:
    """The counts in one line: "1,000 kills, 0 corrupt reads"."""
    return ", ".join(f"{value:,} {what}" for what, value in trial.counts.items())
