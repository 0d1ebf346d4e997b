import re

import numpy as np
import pytest

from flowtui.engine.datasets.items import Item
from flowtui.engine.metrics.metric import total
from flowtui.engine.metrics.pope import Pope, says_yes


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("yes", True),
        ("Yes, there is a dog in the image.", True),
        ("no", False),
        ("No", False),
        ("No, there is no dog in the image.", False),
        ("There is not a dog.", False),
        # Only the first sentence counts.
        ("Yes. There is no cat, though.", True),
        ("I see a dog. No cat", True),
        # Commas are stripped before words are parted, so "No," is a no ...
        ("Well, no, I do not", False),
        ("No,there is", True),
        # ... but other marks are not, and case matters: all three say "yes" by the official rule.
        ("no!", True),
        ("NO", True),
        ("Nope", True),
        ("nothing", True),
        # Words are parted by spaces alone.
        ("no\nindeed", True),
        ("", True),
    ],
)
def test_the_rule(text, yes):
    assert says_yes(text) is yes


def oracle(text):
    """The same rule as one regular expression: no negation between spaces, before the first period."""
    sentence = re.match(r"[^.]*", text)[0]
    return not re.search(r"(?:^| )(?:No|not|no)(?= |\Z)", re.sub(",", "", sentence))


def test_random_texts_are_read_as_the_oracle_reads_them():
    rng = np.random.default_rng(0)
    pieces = ["No", "no", "not", "NOT", "yes", ".", ",", " ", " ", " ", "\n", "a", "!"]
    read = [("".join(rng.choice(pieces, 6))) for _ in range(4000)]
    assert [says_yes(text) for text in read] == [oracle(text) for text in read]
    assert 0.1 < np.mean([says_yes(text) for text in read]) < 0.95


def item(label):
    return Item("1", "a.jpg", "a.jpg", "?", {"label": label}, "random")


def test_a_hand_worked_table():
    """TP 3, FN 1, FP 2, TN 4: accuracy 7/10, precision 3/5, recall 3/4, F1 2/3, yes 5/10."""
    answers = ["yes"] * 3 + ["no"] + ["yes"] * 2 + ["no"] * 4
    labels = ["yes"] * 4 + ["no"] * 6
    metric = Pope()
    scores = total((metric.counts(item(y), a) for a, y in zip(answers, labels, strict=True)), metric.names)
    expected = {"accuracy": 0.7, "f1": 2 / 3, "precision": 0.6, "recall": 0.75, "yes_ratio": 0.5}
    assert scores == pytest.approx(expected, abs=1e-15)
    assert metric.names[0] == "accuracy"


def test_scores_equal_the_confusion_matrix_on_random_answers():
    """F1 here is a ratio of sums; the official script takes the harmonic mean of precision and recall."""
    rng = np.random.default_rng(1)
    said, true = rng.random(500) < 0.6, rng.random(500) < 0.5
    metric = Pope()
    counted = [metric.counts(item("yes" if y else "no"), "Yes" if a else "No") for a, y in zip(said, true, strict=True)]
    scores = total(counted, metric.names)
    (tn, fp), (fn, tp) = np.histogram2d(true, said, bins=2)[0]
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    assert scores["f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=1e-12)
    assert scores["precision"] == pytest.approx(precision, abs=1e-12)
    assert scores["recall"] == pytest.approx(recall, abs=1e-12)
    assert scores["accuracy"] == pytest.approx((tp + tn) / 500, abs=1e-12)
    assert scores["yes_ratio"] == pytest.approx((tp + fp) / 500, abs=1e-12)


def test_nothing_to_divide_by_is_none():
    scores = total([Pope().counts(item("no"), "no")], Pope.names)
    assert scores == {"accuracy": 1.0, "f1": None, "precision": None, "recall": None, "yes_ratio": 0.0}
