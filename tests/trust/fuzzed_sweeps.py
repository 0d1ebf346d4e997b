"""Damaged and hostile sweep files, and journals of sweeps: a sweep that can be shown, or one clear error."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from flowtui.cache.pickledata import loads
from flowtui.engine.sweeps.journal import Journal
from flowtui.engine.sweeps.result import Sweep
from flowtui.tui.table import to_json
from tests.factories import random_sweep
from tests.trust.fuzzed_runs import fuzz
from tests.trust.mutate import bytes_damaged, pickled, plain_damaged, steps_damaged, steps_of
from tests.trust.promise import Promise, Trial

IDENTITY = {"dataset": "demo", "options": {"limit": 5}, "questions": "f" * 32}


@lru_cache
def _originals() -> tuple[dict[str, Any], ...]:
    return tuple(random_sweep(layers=2, items=4, cliff=1, seed=seed, traits=bool(seed)).to_plain() for seed in range(3))


@lru_cache
def _pickles() -> tuple[tuple[bytes, list[bytes]], ...]:
    made = [pickled(plain, random.Random(0)) for plain in _originals()]
    return tuple((data, steps_of(data)) for data in made)


def _hostile(rng: random.Random) -> bytes:
    data, steps = rng.choice(_pickles())
    match rng.randrange(6):
        case 0:
            return bytes_damaged(data, rng, rng.choice(_pickles())[0])
        case 1:
            return steps_damaged(steps, rng)
        case 2:
            plain = dict(rng.choice(_originals()))
            return pickled({**plain, "items": bytes_damaged(plain["items"], rng)}, rng)
        case _:
            return pickled(plain_damaged(rng.choice(_originals()), rng), rng)


def _sweeps(trial: Trial) -> None:
    fuzz(
        trial,
        _hostile,
        lambda data: Sweep.from_plain(loads(data, "evil.pkl")),
        _use,
    )


def _use(sweep: Sweep) -> None:
    """What showing it takes, but for the bootstrap, which takes a second and depends on numbers alone."""
    to_json([sweep.options, sweep.metrics, [item.id for item in sweep.items]])
    for curve in sweep.curves:
        for metric in sweep.metrics:
            sweep.counts(metric, curve)


def _journals(trial: Trial) -> None:
    path = trial.folder / "sweep.pkl.journal"
    with Journal(path, IDENTITY) as journal:
        for item in range(6):
            journal.add({"item": item, "texts": ["a", "b"], "logprob": [-0.5, -1.25]})
    whole = path.read_bytes()

    def read(data: bytes) -> tuple[Path, dict[int, Any]]:
        path.write_bytes(data)
        with Journal(path, IDENTITY) as journal:
            return path, dict(journal.records)

    def use(found: tuple[Path, dict[int, Any]]) -> None:
        # What was taken is there the next time too, and the next record fits behind it.
        with Journal(path, IDENTITY) as journal:
            assert journal.records == found[1], "a journal that was opened is not what it was"
            journal.add({"item": 1 << 20, "texts": []})
        with Journal(path, IDENTITY) as journal:
            assert journal.records.keys() == found[1].keys() | {1 << 20}, "a record was lost"

    fuzz(trial, lambda rng: bytes_damaged(whole, rng), read, use)


PROMISES = (
    Promise(
        "fuzzed-sweeps",
        "fuzz",
        "A damaged or hostile sweep file is a sweep that can be shown, or one clear error; less than 1 s and 256 MB",
        100_000,
        300,
        _sweeps,
    ),
    Promise(
        "fuzzed-journals",
        "fuzz",
        "A damaged journal of a sweep is one that can be gone on with, or one clear error",
        20_000,
        150,
        _journals,
    ),
)
