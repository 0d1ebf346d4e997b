"""TextVQA: agreement with ten people's answers, after the official normalisation. Torch-free.

Source: Singh et al. 2019, "Towards VQA Models That Can Read"; the normalisation of its challenge server, which LLaVA
and the paper use too. What looks odd in it (an apostrophe s becomes a word, "none" becomes 0) is how it is.
"""

from __future__ import annotations

import re
from functools import lru_cache

from flowtui.engine.datasets.items import Item

from .metric import Counts

_NUMBERS = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(number) for number, word in enumerate(_NUMBERS.split())} | {"none": "0"}
ARTICLES = frozenset({"a", "an", "the"})
PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32
"""The official script removes no more: it passes a flag of this value where the count stands."""

_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't
wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    word[:i] + word[i + 1 :]: word
    for word in _CONTRACTED.split()
    for i, character in enumerate(word)
    if character == "'"
} | {"somebody'd": "somebodyd"}
"""What each spelling with one apostrophe missing becomes. The last is the official table's own slip."""


@lru_cache(maxsize=1 << 17)
def normalise(answer: str) -> str:
    """The official form of an answer: case, punctuation, number words, articles, contractions."""
    text = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = _strip_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _strip_punctuation(text: str) -> str:
    """Drops a mark that stands beside a space anywhere in the text; any other becomes a space. Then periods."""
    stripped = text
    for mark in PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        stripped = stripped.replace(mark, "" if beside_space else " ")
    return _PERIOD.sub("", stripped, count=_MOST_PERIODS)


def soft_accuracy(answer: str, given: tuple[str, ...]) -> float:
    """Mean over leave-one-out sets of the people's answers of min(1, matches / 3).

    Args:
        answer: The model's.
        given: The people's, ten as a rule.

    Returns:
        0 to 1.
    """
    said = normalise(answer)
    same = [normalise(one) == said for one in given]
    matches = sum(same)
    return sum(min(1.0, (matches - own) / 3) for own in same) / len(same)


class TextVqa:
    """VQA soft accuracy."""

    names = ("accuracy",)

    def lower_is_better(self, name: str) -> bool:
        """Never."""
        return False

    def is_share(self, name: str) -> bool:
        """Always."""
        return True

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one answer; `item.truth` has the people's `answers`."""
        return {"accuracy": (soft_accuracy(text, tuple(item.truth["answers"])), 1.0)}
