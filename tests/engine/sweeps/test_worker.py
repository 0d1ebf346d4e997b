"""One group on a real model: the numbers of a run of each item alone, the same bits whatever is done already."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowtui.engine import truncation
from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.inputs import prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import RunSpec
from flowtui.engine.sweeps.journal import Record
from flowtui.engine.sweeps.plan import Cut, Group, Job, Options, Question
from flowtui.engine.sweeps.records import check_record
from flowtui.engine.sweeps.worker import run_group
from flowtui.errors import CancelledError, UsageError

CUTS = (Cut(), Cut("top-r", 5), Cut("random-r", 5))


@pytest.fixture(scope="module")
def job(tiny_llava: Loaded) -> Job:
    return Job.of(open_demo(3, 1), Options(CUTS, 1, 6, ("attention",)), tiny_llava.info)


def run(loaded: Loaded, payload: dict[str, Any]) -> list[Record]:
    """All records of a group."""
    made: list[Record] = []
    fractions: list[float] = []
    run_group(loaded, payload, made.append, fractions.append, lambda: False)
    assert all(0 <= a <= 1.0001 for a in fractions)
    return made


@pytest.fixture(scope="module")
def records(tiny_llava: Loaded, job: Job) -> list[Record]:
    (group,) = job.groups({})
    return run(tiny_llava, job.payload(group))


def test_a_record_has_what_a_run_of_the_item_has(tiny_llava: Loaded, job: Job, records: list[Record]) -> None:
    assert [record["item"] for record in records] == [0, 1, 2]
    for record in records[1:]:
        check_record(record, job)
        item = job.dataset.items[record["item"]]
        image = job.dataset.image_bytes(item)
        assert image is not None
        inputs = prepare(tiny_llava, RunSpec("tiny", (image,), item.prompt, max_new_tokens=6))
        assert record["ids"] == list(inputs.prepared.answer.ids)
        for cut, curve in zip(CUTS, record["curves"], strict=True):
            alone: list[LayerResult] = []
            ks = range(tiny_llava.info.layers + 1)
            truncation.run(tiny_llava, inputs, cut.parameters(1, item.id), ks, alone.append, lambda *_: None)
            assert [curve["texts"][i] for i in curve["text"]] == [result.text for result in alone]
            assert curve["same"] == [bool(result.arrays["same"]) for result in alone]
            for name in ("kl", "logprob"):
                # Shared beginnings are other sums of the same float32 numbers.
                np.testing.assert_allclose(curve[name], [r.arrays[name].mean() for r in alone], atol=1e-5)
        assert len(record["traits"]["attention.image_share"]) == tiny_llava.info.layers


def test_a_resumed_group_gives_the_same_bits(tiny_llava: Loaded, job: Job, records: list[Record]) -> None:
    for there in ({0}, {1}, {0, 1}, {0, 2}):
        done = {i: (tuple(records[i]["ids"]), records[i]["stopped"]) for i in there}
        (group,) = job.groups(done)
        assert run(tiny_llava, job.payload(group)) == [record for record in records if record["item"] not in there]


def test_an_item_without_an_image(tiny_llava: Loaded, job: Job) -> None:
    payload = job.payload(next(job.groups({}))) | {"image": None}
    for record in run(tiny_llava, payload):
        check_record(record, job)
        curve = record["curves"][0]
        assert curve["texts"] == [record["answer"]]
        assert all(curve["same"])
        assert set(curve["kl"]) == {0.0}
        assert curve["logprob"][0] < 0


def test_an_error_names_its_item(tiny_llava: Loaded, job: Job) -> None:
    broken = Group("x", (Question(0, "the-id", "What <image> is this?"),))
    with pytest.raises(UsageError, match=r"Item the-id: .*<image>"):
        run(tiny_llava, job.payload(broken))


def test_it_can_be_cancelled(tiny_llava: Loaded, job: Job) -> None:
    made: list[Record] = []
    with pytest.raises(CancelledError):
        run_group(tiny_llava, job.payload(next(job.groups({}))), made.append, lambda _: None, lambda: bool(made))
    assert len(made) == 1
