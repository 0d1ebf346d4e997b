"""Drives a sweep: hands out groups, keeps every record, writes the file when all are there. Torch-free.

An executor is all that knows where the work is done: an async generator function of a job and its groups, which yields
the records of their items as they come, in any order, each at least once; `flowtui.engine.sweeps.worker.run_group` is
what it has called with `job.payload(group)`, wherever the model is. It raises when something cannot be computed, and
closing it stops the work. Records are checked here, and doubled ones dropped.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.client import EngineClient
from flowtui.engine.metrics.table import METRICS
from flowtui.errors import ProtocolError, RunFileError

from .journal import Journal, Record, journal_path
from .plan import Group, Job
from .records import check_record, to_sweep
from .result import Sweep

WINDOW = 50
"""Items over which the speed is taken: the first ones, while a device warms up, are soon forgotten."""


class Executor(Protocol):
    """Where a sweep's work is done."""

    def __call__(self, job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        """Yields the records of what is missing in these groups, in any order."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a sweep is.

    Attributes:
        done: Items whose records are on disk.
        total: All items.
        computed: Of those done, how many by this process.
        rate: Items per second, of late; None before the second one.
        seconds_left: Or None.
    """

    done: int
    total: int
    computed: int
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(slots=True)
class Local:
    """Executes on one engine, group after group.

    Attributes:
        client: An engine that has the model loaded.
    """

    client: EngineClient

    async def __call__(self, job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        """See `Executor`."""
        for group in groups:
            async with aclosing(self.client.sweep(job.payload(group))) as records:
                async for record in records:
                    yield record


async def run_sweep(
    job: Job, output: Path, executor: Executor, *, on_state: Callable[[State], None] = lambda state: None
) -> Sweep:
    """Runs a sweep, or goes on with it where a journal is beside the output, and writes it.

    Args:
        job: What to compute.
        output: Where the sweep goes, written whole when all items are there; the journal, beside it, is then deleted.
        executor: Where it is computed.
        on_state: Told how far it is, at the start and after every item.

    Returns:
        The sweep.

    Raises:
        UsageError: The journal belongs to another sweep, or another process is writing it.
        RunFileError: The journal or the file cannot be read or written.
        FlowtuiError: What the executor found wrong. All records until then are in the journal.
    """
    with Journal(journal_path(output), job.identity) as journal:
        for record in journal.records.values():
            _check(record, job, RunFileError, f"{journal.path} holds a record that is not valid")
        watch = _Watch(len(job.dataset.items), len(journal.records), on_state)
        done = {i: (tuple(record["ids"]), record["stopped"]) for i, record in journal.records.items()}
        groups = tuple(job.groups(done))
        watch.tell()
        if groups:
            async with aclosing(executor(job, groups)) as records:
                async for record in records:
                    _check(record, job, ProtocolError, "The engine sent a record that is not valid")
                    if record["item"] not in journal.records:
                        journal.add(record)
                        watch.count()
        missing = len(job.dataset.items) - len(journal.records)
        if missing:
            raise ProtocolError(f"The engine left out {missing} of {len(job.dataset.items)} items.")
        sweep = to_sweep(job, journal.records, METRICS[job.dataset.name])
        write_plain(output, sweep.to_plain())
        journal.remove()
    return sweep


def finished(job: Job, output: Path) -> Sweep | None:
    """The sweep that is there already, if it is the very one that a job would make; else None."""
    if not output.is_file() or journal_path(output).exists():
        return None
    try:
        sweep = Sweep.from_plain(read_plain(output))
    except RunFileError:
        return None
    same = (sweep.dataset, sweep.digest, sweep.model.fingerprint, sweep.model.dtype, dict(sweep.options)) == (
        job.dataset.name,
        job.dataset.digest,
        job.model.fingerprint,
        job.model.dtype,
        job.recorded,
    )
    return sweep if same else None


def _check(record: Record, job: Job, error: type[RunFileError] | type[ProtocolError], words: str) -> None:
    try:
        check_record(record, job)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as fault:
        raise error(f"{words}: {type(fault).__name__}: {fault}.") from fault


class _Watch:
    """Counts items and measures their speed."""

    def __init__(self, total: int, there: int, on_state: Callable[[State], None]) -> None:
        self.total, self.there, self.on_state = total, there, on_state
        self.computed = 0
        self.times: deque[float] = deque([time.monotonic()], maxlen=WINDOW + 1)

    def count(self) -> None:
        """One more item is on disk."""
        self.computed += 1
        self.times.append(time.monotonic())
        self.tell()

    def tell(self) -> None:
        """Says how far it is."""
        done, rate, left = self.there + self.computed, None, None
        passed = self.times[-1] - self.times[0]
        if self.computed > 1 and passed > 0:
            rate = (len(self.times) - 1) / passed
            left = (self.total - done) / rate
        self.on_state(State(done, self.total, self.computed, rate, left))
