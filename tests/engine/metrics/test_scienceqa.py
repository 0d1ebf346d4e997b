import re

import numpy as np
import pytest

from flowtui.engine.datasets.items import Item
from flowtui.engine.metrics.metric import total
from flowtui.engine.metrics.scienceqa import ScienceQa, choice_of


@pytest.mark.parametrize(
    ("text", "index"),
    [
        # First exactly a letter,
        ("A", 0),
        ("C", 2),
        ("D", None),  # three options
        ("b", None),
        (" B", None),
        ("", None),
        ("AB", None),
        # then a text that begins with a letter, a period and a space,
        ("B. milk", 1),
        ("B.", None),
        ("B.milk", None),
        ("B) milk", None),
        ("E. nothing", None),
        ("A. The answer is B.", 0),
        # then exactly one sentence that says so,
        ("The answer is B.", 1),
        ("I think. The answer is C. Why", 2),
        ("The answer is A. The answer is B.", None),
        ("The answer is D.", None),
        ("the answer is B.", None),
        ("The answer is B", None),
        # whose last dot, unescaped in the official script, is any character.
        ("The answer is B, because it flows", 1),
        ("The answer is Because it flows", 1),
        ("The answer is B\n", None),
        # Nothing else.
        ("milk", None),
        ("(B)", None),
    ],
)
def test_the_order_of_parsing(text, index):
    assert choice_of(text, 3) == index


def oracle(text, options):
    """The three rules as one expression with alternatives in their order."""
    sentence = r"(?:(?!The answer is [A-Z].)[\s\S])*"
    rules = rf"([A-E])|([A-E])\. [\s\S]*|{sentence}The answer is ([A-Z]).{sentence}"
    match = re.fullmatch(rules, text)
    letter = next((group for group in match.groups() if group), None) if match else None
    return "ABCDE"[:options].index(letter) if letter and letter in "ABCDE"[:options] else None


def test_random_answers_are_parsed_as_the_oracle_parses_them():
    rng = np.random.default_rng(4)
    pieces = ["A", "B", "E", "F", ". ", ".", "The answer is ", "The answer is B", " ", "\n", "x"]
    texts = ["".join(rng.choice(pieces, rng.integers(1, 5))) for _ in range(4000)]
    assert [choice_of(text, 4) for text in texts] == [oracle(text, 4) for text in texts]
    assert 0.1 < np.mean([choice_of(text, 4) is not None for text in texts]) < 0.8


def test_image_questions_are_apart():
    truth = {"choices": ["a", "b"], "answer": 1}
    with_image = Item("1", "test/1/image.png", "1", "?", truth, "natural science")
    without = Item("2", None, "2", "?", truth, "language science")
    metric = ScienceQa()
    counted = [metric.counts(item, text) for item in (with_image, without, without) for text in ("B", "A")]
    counted.append(metric.counts(with_image, "B"))
    scores = total(counted, metric.names)
    assert scores == pytest.approx({"image_accuracy": 2 / 3, "text_accuracy": 1 / 2, "accuracy": 4 / 7})
    assert metric.names[0] == "image_accuracy"
