import pytest

from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.datasets.items import Item
from flowtui.engine.demo.questions import KINDS, phrases
from flowtui.engine.metrics.demo import LIKE, mentions
from flowtui.engine.metrics.metric import total
from flowtui.engine.metrics.table import METRICS

DEMO = METRICS["demo"]


def item(kind, **truth):
    return Item("1", "scene.png", "scene.png", "?", truth, kind)


def test_every_kind_is_judged_like_a_data_set_that_is_there():
    assert set(LIKE) == set(KINDS)
    assert set(LIKE.values()) == METRICS.keys() - {"demo"}


@pytest.mark.parametrize(
    ("about", "text", "accuracy", "own"),
    [
        (item("presence", label="no"), "no", 1, {"pope.accuracy": (1, 1), "pope.yes_ratio": (0, 1)}),
        (item("presence", label="no"), "yes", 0, {"pope.accuracy": (0, 1), "pope.f1": (0, 1)}),
        (item("position", answers=["top left"] * 10), "Top left.", 1, {"textvqa.accuracy": (1, 1)}),
        (item("choice", choices=["red", "blue"], answer=1), "B", 1, {"scienceqa.image_accuracy": (1, 1)}),
        (item("choice", choices=["red", "blue"], answer=1), "C", 0, {"scienceqa.accuracy": (0, 1)}),
        (
            item("caption", objects=["red circle", "blue letter E"]),
            "a red circle and a blue letter H",
            0,
            {"chair.chair_i": (1, 2), "chair.chair_s": (1, 1), "chair.recall": (1, 2), "chair.length": (8, 1)},
        ),
        (
            item("caption", objects=["red circle", "blue letter E"]),
            "a blue letter E and a red circle",
            1,
            {"chair.chair_i": (0, 2), "chair.recall": (2, 2)},
        ),
    ],
)
def test_hand_worked_answers(about, text, accuracy, own):
    counted = DEMO.counts(about, text)
    assert counted["accuracy"] == (accuracy, 1)
    assert {name: counted[name] for name in own} == own
    others = [name for name in DEMO.names if not name.startswith((f"{LIKE[about.kind]}.", "accuracy"))]
    assert all(counted[name] == (0, 0) for name in others)


def test_things_are_found_as_the_captions_are_made():
    """The oracle parts a caption at "and"; the metric looks for colours and names, so that any text can be judged."""
    for about in open_demo(60, 4, ["caption"]).items:
        caption = " and ".join(f"a {thing}" for thing in about.truth["objects"])
        assert set(mentions(caption)) == phrases(caption) == set(about.truth["objects"])
        assert mentions(caption) == about.truth["objects"]


def test_lower_is_better_as_the_data_sets_have_it():
    assert {name for name in DEMO.names if DEMO.lower_is_better(name)} == {"chair.chair_i", "chair.chair_s"}
    assert [name for name in DEMO.names if not DEMO.is_share(name)] == ["chair.length"]


def test_scores_of_a_mixed_lot_are_each_kinds_own():
    lot = [(item("presence", label="yes"), "yes"), (item("letter", answers=["E"] * 10), "H")]
    scores = total((DEMO.counts(about, text) for about, text in lot), DEMO.names)
    assert (scores["accuracy"], scores["pope.accuracy"], scores["textvqa.accuracy"]) == (0.5, 1.0, 0.0)
    assert scores["chair.chair_i"] is None
