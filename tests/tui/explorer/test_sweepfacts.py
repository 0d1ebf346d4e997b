from dataclasses import replace

import numpy as np
import pytest

from flowtui.tui.explorer.sweepfacts import SweepFacts, truth_words
from flowtui.tui.explorer.sweeplook import WHICH, SweepLook, sweep_look_from_plain
from tests.tui.explorer.sweeps import BOTH, SWEEP

FACTS = SweepFacts(BOTH)


def by_hand(item: int, curve: int, metric: str, k: int) -> tuple[float, float]:
    kept = BOTH.items[item]
    return kept.counts[metric][BOTH.curves[curve].text[item, k]]


@pytest.mark.parametrize("look", [SweepLook(), SweepLook(metric=1), SweepLook(curve=2), SweepLook(metric=1, curve=1)])
def test_scores_and_changes_are_those_counted_one_by_one(look: SweepLook) -> None:
    metric = list(BOTH.metrics)[look.metric]
    for k in (0, 3, 12):
        look = replace(look, k=k)
        over = under = 0.0
        changes, flips, other = [], [], []
        for i, item in enumerate(BOTH.items):
            if item.image is None:
                changes.append(0)
                continue
            now, whole = by_hand(i, look.curve, metric, k), by_hand(i, look.curve, metric, 12)
            over, under = over + now[0], under + now[1]
            good = 1 if metric == "accuracy" else 0
            scores = [pair[0] / pair[1] if pair[1] else good for pair in (now, whole)]
            better = scores[0] - scores[1] if metric == "accuracy" else scores[1] - scores[0]
            changes.append(int(np.sign(better)))
            if now != whole:
                flips.append(i)
            if FACTS.text(look, i, k) != FACTS.text(look, i, 12):
                other.append(i)
        assert FACTS.score(look)[k] == pytest.approx(over / under)
        assert FACTS.changes(look).tolist() == changes
        lists = {which: FACTS.listed(replace(look, which=which)).tolist() for which in WHICH}
        assert lists == {
            "flips": flips,
            "lost": [i for i, c in enumerate(changes) if c < 0],
            "gained": [i for i, c in enumerate(changes) if c > 0],
            "answers": other,
            "all": list(range(60)),
        }


def test_text_only_items_have_nothing_to_cut() -> None:
    assert set(FACTS.counted.tolist()) == {i for i, item in enumerate(BOTH.items) if item.image}
    assert len(FACTS.counted) < len(BOTH.items)


def test_a_score_of_nothing_is_none() -> None:
    items = tuple(replace(i, counts={"accuracy": tuple((0.0, 0.0) for _ in i.texts)}) for i in SWEEP.items)
    facts = SweepFacts(replace(SWEEP, items=items))
    assert np.isnan(facts.score(SweepLook())).all()
    assert np.isnan(facts.item_score(SweepLook(), 0, 0))


def test_the_curve_is_of_the_look_and_with_the_sweeps_margin() -> None:
    facts = SweepFacts(replace(SWEEP, options={"margin": 0.2}))
    assert facts.found(SweepLook()) is None
    made = facts.find(SweepLook(curve=1))
    assert facts.found(SweepLook(curve=1, k=5)) is made
    assert facts.found(SweepLook()) is None
    assert (made.margin, made.items) == (0.2, len(facts.counted))
    np.testing.assert_allclose(made.score, facts.score(SweepLook(curve=1)))
    for told in (None, 0, 1.5, "0.1", float("nan")):
        assert SweepFacts(replace(SWEEP, options={"margin": told})).margin == 0.01


def test_the_cursor_stays_at_its_item_or_goes_to_the_next_that_is_listed() -> None:
    look = SweepLook(k=0)
    listed = FACTS.listed(look).tolist()
    assert FACTS.current(look) == listed[0]
    assert FACTS.current(replace(look, item=listed[3])) == listed[3]
    assert FACTS.current(replace(look, item=listed[3] + 1)) == listed[4]
    assert FACTS.current(replace(look, item=59, k=0)) == listed[-1]
    assert FACTS.moved(look, 2).item == listed[2]
    assert FACTS.moved(replace(look, item=listed[2]), -9).item == listed[0]
    nothing = replace(look, k=12)
    assert FACTS.current(nothing) is None
    assert FACTS.moved(nothing, 1) == nothing


def test_the_steepest_k_comes_first() -> None:
    score = FACTS.score(SweepLook())
    ranked = FACTS.ranked(SweepLook())
    assert ranked[0] == int(np.diff(score).argmax()) + 1
    wrong = FACTS.score(SweepLook(metric=1))
    assert FACTS.ranked(SweepLook(metric=1))[0] == int(np.diff(wrong).argmin()) + 1


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ({"answer": "yes"}, "yes"),
        ({"answers": ["red"] * 10}, "red"),
        ({"answer": 1, "choices": ["a cat", "a dog"]}, "B · a dog"),
        ({"answer": 7, "choices": ["a cat"]}, "7 · a cat"),
        ({"objects": [f"thing {i}" for i in range(9)]}, ", ".join(f"thing {i}" for i in range(6)) + " and 3 more"),
        ({"label": "no", "nothing": None}, "no"),
        ({}, ""),
    ],
)
def test_truth_in_words(truth: object, words: str) -> None:
    assert truth_words(truth) == words


def test_text_of_the_file_is_safe_to_show() -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07"
    items = tuple(replace(i, texts=tuple(t + evil for t in i.texts), truth={"a": evil}) for i in SWEEP.items)
    facts = SweepFacts(replace(SWEEP, items=items, metrics={"accuracy": False}))
    assert facts.text(SweepLook(), 0, 0).isprintable()
    assert facts.truth(0).isprintable()


def test_a_look_comes_back_and_nonsense_does_not() -> None:
    look = SweepLook(3, 1, 2, "lost", 7, difference=True)
    assert sweep_look_from_plain(look.to_plain(), 12, 2, 3, 60) == look
    assert sweep_look_from_plain(look.to_plain(), 2, 1, 1, 5) == SweepLook(which="lost", difference=True)
    for plain in (None, [], {"k": "3", "which": ["lost"], "item": True, "difference": 1}, {"k": -1, "curve": 99}):
        assert sweep_look_from_plain(plain, 12, 2, 3, 60) == SweepLook()
