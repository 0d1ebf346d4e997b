import re

import numpy as np
import pytest

from flowtui.engine.datasets.items import Item
from flowtui.engine.metrics.chair import Chair
from flowtui.engine.metrics.coco import SYNONYMS
from flowtui.engine.metrics.metric import total
from flowtui.engine.metrics.objects import IRREGULAR, MOST_WORDS, _forms, mentions, plural
from flowtui.engine.metrics.table import METRICS


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("A man riding a bike.", ["person", "bicycle"]),
        ("Two men, three women and their children", ["person"] * 3),
        ("Buses, knives, mice, geese, calves and teddy bears", ["bus", "knife", "mouse", "bird", "cow", "teddy bear"]),
        # Two words that are one thing are one thing, in the plural too.
        ("Hot dogs beside a dog", ["hot dog", "dog"]),
        ("a traffic light and a stop sign", ["traffic light", "stop sign"]),
        ("a dog on home plate", ["dog"]),
        ("a hot-dog", ["hot dog"]),
        # Who only qualifies an animal or a vehicle is no person.
        ("baby elephants and an adult zebra", ["elephant", "zebra"]),
        ("a passenger train with passengers", ["train", "person"]),
        ("a bow tie", ["tie"]),
        # A toilet's seat is no chair; any other seat is.
        ("the toilet seat is up", ["toilet"]),
        ("the seat of a toilet", ["toilet"]),
        ("the seat of a car", ["chair", "car"]),
        # Each mention counts, under its category's name.
        ("a sofa, a couch and sofas", ["couch"] * 3),
        ("the dog's ball", ["dog", "sports ball"]),
        ("skis, scissors, sheep, luggage, people", ["skis", "scissors", "sheep", "suitcase", "person"]),
        ("a glass of water and a plant", []),
        ("catastrophe, dogma, carpet", []),
        ("", []),
    ],
)
def test_what_a_caption_names(caption, named):
    assert mentions(caption) == named


def test_all_80_categories_name_themselves_and_no_word_names_two():
    assert len(SYNONYMS) == 80
    for name in SYNONYMS:
        assert mentions(f"There is a {name}.") == [name]
        assert mentions(f"There are two {plural(name) if name != 'skis' else name}.") == [name]
    words = [word.strip() for words in SYNONYMS.values() for word in words.split(",")]
    assert len(set(words)) == len(words)


def test_plurals():
    for singular, expected in {
        "bench": "benches",
        "box": "boxes",
        "lady": "ladies",
        "boy": "boys",
        "policewoman": "policewomen",
        "human": "humans",
        "german shepherd": "german shepherds",
        "wine glass": "wine glasses",
        "butter knife": "butter knives",
        "bookshelf": "bookshelfs",  # no word of the list; "book shelf" is
        "book shelf": "book shelves",
        "computer mouse": "computer mice",
    }.items():
        assert plural(singular) == expected
    listed = {word.strip() for words in SYNONYMS.values() for word in words.split(",")}
    same = {word for word in listed if plural(word) == word}
    assert same == {word for word in IRREGULAR if IRREGULAR[word] == word} & listed


def test_random_captions_name_what_one_big_expression_finds():
    """The oracle: one alternation of all forms, longest first, over the words put back together."""
    forms, _ = _forms()
    assert max(form.count(" ") + 1 for form in forms) == MOST_WORDS
    longest_first = sorted(forms, key=lambda form: (-form.count(" "), -len(form)))
    expression = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(longest_first)})(?![a-z0-9])")
    rng = np.random.default_rng(5)
    pieces = [*rng.choice(sorted(forms), 300), *("a", "with", "hot", "baby", "the", "table", "top", "train", "xs")]
    for _ in range(2000):
        caption = " ".join(rng.choice(pieces, 5))
        expected = [forms[found] for found in expression.findall(caption)]
        if "toilet" not in expected:
            assert mentions(caption) == [name for name in expected if name]


def item(*objects):
    return Item("42", "a.jpg", "42", "Describe.", {"objects": list(objects)}, "caption")


def test_hand_worked_captions():
    """First: dog right, cat wrong, dog right; second: all right; third names nothing.

    CHAIR_i = 1 wrong of 5 mentions; CHAIR_s = 1 of 3 captions; recall = (dog) + (pizza, person) of 2 + 3 + 1 objects.
    """
    metric = METRICS["chair"]
    captions = {
        "A dog, a cat and a dog.": item("dog", "bench"),
        "A man eats a pizza": item("pizza", "person", "fork"),
        "It is late.": item("clock"),
    }
    scores = total((metric.counts(about, text) for text, about in captions.items()), metric.names)
    assert scores == pytest.approx({"chair_i": 1 / 5, "chair_s": 1 / 3, "recall": 3 / 6, "length": (7 + 5 + 3) / 3})


def test_which_way_is_better_and_what_is_a_share():
    metric = Chair(mentions)
    assert [metric.lower_is_better(name) for name in metric.names] == [True, True, False, False]
    assert [metric.is_share(name) for name in metric.names] == [True, True, True, False]


def test_a_caption_without_objects_has_no_share_of_them():
    scores = total([METRICS["chair"].counts(item(), "Nothing here.")], METRICS["chair"].names)
    assert scores == {"chair_i": None, "chair_s": 0.0, "recall": None, "length": 2.0}
