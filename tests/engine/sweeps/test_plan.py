"""Options, groups and what makes two sweeps the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flowtui.engine.sweeps.plan import Cut, Job, Options, find_item, read_cuts, read_traits
from flowtui.errors import UsageError
from tests.engine.sweeps.jobs import INFO, small_job


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["all"], ["all"]),
        (["top-16,all"], ["all", "top-16"]),
        (["all", "top-16", "top-64, random-8"], ["all", "top-16", "top-64", "random-8"]),
        (["random-8", "random-8"], ["random-8"]),
    ],
)
def test_ways_of_cutting(texts: list[str], labels: list[str]) -> None:
    cuts = read_cuts(texts)
    assert [cut.label for cut in cuts] == labels
    assert read_cuts(labels) == cuts


@pytest.mark.parametrize("text", ["", "top-r", "top-0", "top", "random-1.5", "all,", "top--1", "top-٣", "some"])
def test_what_is_no_way_of_cutting(text: str) -> None:
    with pytest.raises(UsageError, match="no way of cutting") as caught:
        read_cuts([text])
    assert "top-16" in caught.value.hint


def test_every_item_draws_its_own_tokens() -> None:
    cut = Cut("random-r", 4)
    seeds = {cut.parameters(seed, item).seed for seed in (0, 1) for item in ("a", "b")}
    assert len(seeds) == 4
    assert cut.parameters(1, "a") == cut.parameters(1, "a")
    assert Cut("top-r", 4).parameters(1, "a") == Cut("top-r", 4).parameters(2, "b")


def test_traits_by_name() -> None:
    assert read_traits("cam, attention") == ("attention", "cam")
    assert read_traits("") == ()
    with pytest.raises(UsageError, match="'lens'"):
        read_traits("lens")


def test_options_survive_plain_data() -> None:
    options = Options((Cut(), Cut("random-r", 3)), 5, 12, ("cam",), 9)
    assert Options.from_plain(options.to_plain()) == options
    assert "with" not in Options().to_plain()


def test_groups_hold_the_questions_on_one_image() -> None:
    job = small_job()
    found = list(job.groups({}))
    assert [q.index for group in found for q in group.questions] == list(range(9))
    assert len({group.image for group in found}) == len(found) == 2
    done = {0: ((1, 2), True)} | {q.index: ((), True) for q in found[1].questions}
    (left,) = job.groups(done)
    assert [q.done for q in left.questions][:2] == [((1, 2), True), None]
    payload = job.payload(left)
    assert payload["image"].startswith(b"\x89PNG")
    assert payload["questions"][0]["done"] == {"ids": [1, 2], "stopped": True}


def test_traits_are_spread_evenly() -> None:
    job = small_job(traits=("cam",), traits_limit=3)
    assert [q.index for group in job.groups({}) for q in group.questions if q.traits] == [0, 3, 6]
    everything = small_job(traits=("cam",), traits_limit=100)
    assert all(q.traits for group in everything.groups({}) for q in group.questions)


def test_the_identity_holds_no_place_and_no_number_of_a_device() -> None:
    job = small_job()
    assert "somewhere" not in repr(job.identity)
    assert job.device == "cuda"
    other = Job.of(job.dataset, job.options, replace(INFO, directory=None, device="cuda:0", self_test_error=0.0))
    assert other.identity == job.identity
    for change in ({"fingerprint": "0" * 32}, {"dtype": "bfloat16"}, {"device": "cpu"}):
        assert Job.of(job.dataset, job.options, replace(INFO, **change)).identity != job.identity  # type: ignore[arg-type]
    assert small_job(max_new_tokens=9).identity != job.identity
    assert small_job(8).identity != job.identity


def test_items_by_id_or_number() -> None:
    items = small_job().dataset.items
    assert find_item(items, items[4].id) == 4
    assert find_item(items, "2") == 2
    for strange in ("9", "-1", "", "x"):
        with pytest.raises(UsageError, match="has no item"):
            find_item(items, strange)
