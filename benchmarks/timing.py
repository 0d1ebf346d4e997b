"""Times several sides of one comparison in turns."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Work = Callable[[], Any]
"""What is timed; returns what it computed, so that sides can be compared."""


SLOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Timed:
    """A side's outcome.

    Attributes:
        seconds: Median over the rounds.
        result: What its last round computed.
    """

    seconds: float
    result: Any


def time_sides(works: Mapping[str, Work], rounds: int, device: str = "cpu") -> dict[str, Timed]:
    """Times each side in each round, after one round that warms up.

    The sides take turns, so that a slow moment of the machine hits all of them. To a side that takes longer than
    `SLOW_S` warming up makes no difference: its first round counts, and it is left out of the last.

    Args:
        works: Name -> work.
        rounds: Rounds that count.
        device: Where the work runs; a GPU is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    results: dict[str, Any] = {}
    for turn in range(rounds + 1):
        for name, work in works.items():
            if turn == rounds and len(seconds[name]) == rounds:
                continue
            results.pop(name, None)
            gc.collect()
            wait(device)
            start = clock()
            results[name] = work()
            wait(device)
            took = clock() - start
            if turn or took > SLOW_S:
                seconds[name].append(took)
    return {name: Timed(statistics.median(seconds[name]), results[name]) for name in works}


def clock() -> float:
    """Seconds by the clock on the wall, or by that of the processor (`use_cpu_clock`)."""
    return _clock[0]()


def use_cpu_clock() -> None:
    """From now on CPU time counts: with one thread it tells the same on a machine that others use, too."""
    torch.set_num_threads(1)
    _clock[0] = time.process_time


_clock: list[Callable[[], float]] = [time.perf_counter]


def wait(device: str) -> None:
    """Waits until a GPU has done all it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
