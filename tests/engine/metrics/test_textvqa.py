from itertools import combinations

import numpy as np
import pytest

from flowtui.engine.datasets.items import Item
from flowtui.engine.metrics.textvqa import (
    ARTICLES,
    CONTRACTIONS,
    NUMBERS,
    PUNCTUATION,
    TextVqa,
    normalise,
    soft_accuracy,
)


@pytest.mark.parametrize(
    ("answer", "form"),
    [
        ("Dakota", "dakota"),
        ("  Dakota\n", "dakota"),
        # Number words, "none" among them; articles go, wherever they stand.
        ("Two", "2"),
        ("ten dogs", "10 dogs"),
        ("none", "0"),
        ("eleven", "eleven"),
        ("the top of a hill", "top of hill"),
        ("a", ""),
        # Commas and question marks go before anything else, so numbers stay whole.
        ("1,000", "1000"),
        ("what?", "what"),
        # A mark beside a space anywhere is dropped everywhere; one that is not becomes a space.
        ("wi-fi", "wi fi"),
        ("wi-fi - free", "wifi free"),
        ("coca-cola", "coca cola"),
        ('"stop"', "stop"),
        ("(stop) now", "stop now"),
        ("a/c", "c"),
        ("24/7", "24 7"),
        # Periods go unless a digit follows.
        ("st. louis", "st louis"),
        ("$3.50", "$3.50"),
        ("u.s.a.", "usa"),
        ("version 2.", "version 2"),
        # Contractions get their apostrophe back; an apostrophe s is parted from its word first.
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("ow's'at", "ow 's'at"),
        ("thats", "that's"),
        ("that's", "that 's"),
        ("mcdonald's", "mcdonald 's"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),
        ("", ""),
    ],
)
def test_the_official_form(answer, form):
    assert normalise(answer) == form


def test_the_contractions_are_the_official_tables():
    """Spot checks of each kind of key; the official table has 121 entries, of which eight change nothing or never fit.

    Never fitting: four with a capital I, compared with lower case. Changing nothing: let's and she's.
    """
    assert CONTRACTIONS["aint"] == "ain't"
    assert CONTRACTIONS["shed've"] == CONTRACTIONS["she'dve"] == "she'd've"
    assert CONTRACTIONS["'ows'at"] == CONTRACTIONS["'ow'sat"] == "'ow's'at"
    assert CONTRACTIONS["twas"] == "'twas"
    for absent in ("were", "well", "wed", "hell", "ill", "shell", "id", "its", "shes", "im", "couldntve"):
        assert absent not in CONTRACTIONS


def slow_form(answer):
    """The normalisation written character by character instead of by replacing."""
    text = "".join(c for c in answer.lower() if c not in ",?")
    text = " 's".join(text.split("'s")).strip()
    text = "".join(" " if c in "\n\t" else c for c in text).strip()
    padded = f"x{text}x"
    lonely = {c for before, c, after in zip(padded, padded[1:], padded[2:], strict=False) if " " in (before, after)}
    kept = []
    for c in text:
        kept.append(c if c not in PUNCTUATION else "" if c in lonely else " ")
    text = "".join(kept)
    kept = [c for i, c in enumerate(text) if c != "." or text[i + 1 : i + 2].isdigit()]
    words = [NUMBERS.get(word, word) for word in "".join(kept).split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def test_random_answers_have_the_form_that_the_slow_way_gives():
    rng = np.random.default_rng(2)
    pieces = ["two", "none", "the", "a", "dont", "'s", "12", "cola", *';/[]"(-,?!.', " ", " ", " ", ".", "\t"]
    answers = ["".join(rng.choice(pieces, 7)) for _ in range(5000)]
    assert [normalise(a) for a in answers] == [slow_form(a) for a in answers]


@pytest.mark.parametrize(("matches", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (5, 1), (10, 1)])
def test_soft_accuracy_by_hand(matches, score):
    """With m matches: m sets leave one out and score min(1, (m-1)/3), 10 - m sets score min(1, m/3).

    m = 1: (1*0 + 9/3)/10 = 0.3. m = 2: (2/3 + 8*2/3)/10 = 0.6. m = 3: (3*2/3 + 7)/10 = 0.9. m = 4: 1.
    """
    given = ("Nokia",) * matches + tuple(f"other {i}" for i in range(10 - matches))
    assert soft_accuracy("the nokia.", given) == pytest.approx(score, abs=1e-15)


def test_soft_accuracy_equals_the_mean_over_all_sets_of_nine():
    rng = np.random.default_rng(3)
    for _ in range(200):
        given = tuple(rng.choice(["one", "1", "two", "a one", "red"], 10))
        said = str(rng.choice(["One", "2", "red!"]))
        sets = [sum(slow_form(x) == slow_form(said) for x in nine) for nine in combinations(given, 9)]
        expected = np.mean([min(1, matches / 3) for matches in sets])
        assert soft_accuracy(said, given) == pytest.approx(expected, abs=1e-12)


def test_the_metric():
    item = Item("1", "a.jpg", "a", "?", {"answers": ["red"] * 2 + ["blue"] * 8}, "val")
    assert TextVqa().counts(item, "Red") == {"accuracy": (pytest.approx(0.6), 1.0)}
