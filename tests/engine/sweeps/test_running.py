"""A sweep from its journal to its file, with executors that need no model."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowtui.cache.runfile import read_plain
from flowtui.engine.datasets.items import Images
from flowtui.engine.sweeps.journal import Journal, Record, journal_path
from flowtui.engine.sweeps.plan import Group, Job
from flowtui.engine.sweeps.result import Sweep
from flowtui.engine.sweeps.running import State, finished, run_sweep
from flowtui.errors import EngineError, ProtocolError, RunFileError, UsageError
from tests.engine.sweeps.jobs import fake_record, small_job


class Fake:
    """Makes records up, and remembers of what."""

    def __init__(self, *, backwards: bool = False, twice: bool = False, fail_at: int | None = None) -> None:
        self.backwards, self.twice, self.fail_at = backwards, twice, fail_at
        self.made: list[int] = []

    async def __call__(self, job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        wanted = [q.index for group in groups for q in group.questions if q.done is None]
        for item in reversed(wanted) if self.backwards else wanted:
            if len(self.made) == self.fail_at:
                raise EngineError("gone")
            self.made.append(item)
            for _ in range(1 + self.twice):
                yield fake_record(job, item)


async def test_the_file_is_the_same_in_any_order(tmp_path: Path) -> None:
    job = small_job()
    first = await run_sweep(job, tmp_path / "a.pkl", Fake())
    await run_sweep(job, tmp_path / "b.pkl", Fake(backwards=True, twice=True))
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()
    assert not journal_path(tmp_path / "a.pkl").exists()
    assert first.items[2].texts == ("answer 2", "none")
    assert first.curves[1].label == "top-2"
    assert first.curves[0].logprob[4].tolist() == [-0.5] * 4
    assert Sweep.from_plain(read_plain(tmp_path / "a.pkl")).items == first.items


async def test_it_goes_on_where_it_stopped_and_computes_nothing_twice(tmp_path: Path) -> None:
    job, states = small_job(), list[State]()
    await run_sweep(job, tmp_path / "a.pkl", Fake())
    fakes = [Fake(fail_at=4), Fake(fail_at=3, backwards=True), Fake()]
    for fake in fakes[:2]:
        with pytest.raises(EngineError):
            await run_sweep(job, tmp_path / "b.pkl", fake)
        assert not (tmp_path / "b.pkl").exists()
    await run_sweep(job, tmp_path / "b.pkl", fakes[2], on_state=states.append)
    assert sorted(item for fake in fakes for item in fake.made) == list(range(9))
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()
    assert (states[0].done, states[0].computed) == (7, 0)
    assert (states[-1].done, states[-1].total, states[-1].seconds_left) == (9, 9, 0)


async def test_a_journal_that_is_complete_needs_no_executor(tmp_path: Path) -> None:
    job = small_job()
    with Journal(journal_path(tmp_path / "a.pkl"), job.identity) as journal:
        for item in range(9):
            journal.add(fake_record(job, item))
    fake = Fake()
    await run_sweep(job, tmp_path / "a.pkl", fake)
    assert not fake.made
    assert finished(job, tmp_path / "a.pkl") is not None
    assert finished(small_job(max_new_tokens=9), tmp_path / "a.pkl") is None
    assert finished(job, tmp_path / "none.pkl") is None


class Repainted:
    """A data set's images, one of them with another pixel."""

    def __init__(self, images: Images, name: str) -> None:
        self.images, self.name = images, name

    def read(self, name: str) -> bytes:
        return self.images.read(name) + (b"." if name == self.name else b"")


async def test_another_image_of_the_same_name_is_refused(tmp_path: Path) -> None:
    job, output = small_job(), tmp_path / "a.pkl"
    images = job.dataset.images
    assert images is not None
    last = job.dataset.items[-1].image
    assert last is not None
    other = replace(job, dataset=replace(job.dataset, images=Repainted(images, last)))
    with pytest.raises(EngineError):
        await run_sweep(job, output, Fake(fail_at=4))
    fake = Fake()
    with pytest.raises(UsageError, match="another set of questions and images"):
        await run_sweep(other, output, fake)
    assert not fake.made
    await run_sweep(job, output, Fake())
    assert finished(job, output) is not None
    assert finished(other, output) is None


async def test_another_option_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        await run_sweep(small_job(), tmp_path / "a.pkl", Fake(fail_at=2))
    fake = Fake()
    with pytest.raises(UsageError, match=r"another max_new_tokens \(was 8, is 9\)"):
        await run_sweep(small_job(max_new_tokens=9), tmp_path / "a.pkl", fake)
    assert not fake.made


@pytest.mark.parametrize(
    "change",
    [
        {"item": 99},
        {"item": True},
        {"ids": ["x"]},
        {"answer": 3},
        {"stopped": 1},
        {"curves": []},
        {"traits": {"unheard": [0.0] * 3}},
        {"more": 1},
    ],
)
async def test_a_record_that_is_none_ends_it(tmp_path: Path, change: dict[str, Any]) -> None:
    async def bad(job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        yield fake_record(job, 0) | change

    with pytest.raises(ProtocolError, match="record that is not valid"):
        await run_sweep(small_job(), tmp_path / "a.pkl", bad)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kl", [math.nan, 0, 0, 0]),
        ("kl", [-1.0, 0, 0, 0]),
        ("logprob", [0.0]),
        ("text", [0, 1, 2, 0]),
        ("same", [1, 0, 0, 1]),
    ],
)
async def test_a_curve_that_is_none_ends_it(tmp_path: Path, name: str, values: list[Any]) -> None:
    async def bad(job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        record = fake_record(job, 0)
        record["curves"][0][name] = values
        yield record

    with pytest.raises(ProtocolError, match="record that is not valid"):
        await run_sweep(small_job(), tmp_path / "a.pkl", bad)


async def test_an_executor_that_leaves_something_out_is_found(tmp_path: Path) -> None:
    async def lazy(job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        yield fake_record(job, 3)

    with pytest.raises(ProtocolError, match="left out 8 of 9"):
        await run_sweep(small_job(), tmp_path / "a.pkl", lazy)


async def test_a_journal_with_another_ones_record_is_refused(tmp_path: Path) -> None:
    job = small_job()
    with Journal(journal_path(tmp_path / "a.pkl"), job.identity) as journal:
        journal.add({"item": 3})
    with pytest.raises(RunFileError, match="holds a record that is not valid"):
        await run_sweep(job, tmp_path / "a.pkl", Fake())


async def test_traits_become_arrays(tmp_path: Path) -> None:
    async def looks(job: Job, groups: Sequence[Group]) -> AsyncGenerator[Record, None]:
        for group in groups:
            for q in group.questions:
                yield fake_record(job, q.index) | {"traits": {"cam.focus": [0.5, None, 1.0]} if q.traits else None}

    sweep = await run_sweep(small_job(traits=("cam",), traits_limit=3), tmp_path / "a.pkl", looks)
    assert sweep.traits is not None
    assert sweep.traits.items.tolist() == [0, 3, 6]
    np.testing.assert_array_equal(sweep.traits.values["cam.focus"], np.float32([[0.5, np.nan, 1]] * 3))
