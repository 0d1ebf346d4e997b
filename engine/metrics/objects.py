"""Finds the COCO objects that a caption names. Torch-free.

The words are a closed list, so nothing has to be guessed about others: each word's singular and plural are written
down once, by the rules of English spelling and a table of exceptions, and a caption's words are looked up. That is
lemmatising, exact for every word that counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from .coco import ANIMALS, CARRIED, CARRIERS, NOTHING, SYNONYMS, YOUNG

IRREGULAR = {
    "aircraft": "aircraft",
    "broccoli": "broccoli",
    "calf": "calves",
    "cattle": "cattle",
    "child": "children",
    "goose": "geese",
    "human": "humans",
    "knife": "knives",
    "luggage": "luggage",
    "baggage": "baggage",
    "mouse": "mice",
    "ox": "oxen",
    "pair of scissors": "pairs of scissors",
    "passerby": "passersby",
    "people": "people",
    "person": "persons",
    "pocketknife": "pocketknives",
    "scissors": "scissors",
    "shears": "shears",
    "sheep": "sheep",
    "shelf": "shelves",
    "wife": "wives",
}
"""Plurals that follow no rule; a word of several ends like its last."""

_WORD = re.compile(r"[a-z0-9]+")
_POSSESSIVE = re.compile(r"['’]s\b")
MOST_WORDS = 4


def mentions(caption: str) -> list[str]:
    """The objects that a caption names, in order, each as often as it is named.

    Several words that are one thing ("hot dog") are taken together, longest first, from left to right; a toilet's
    seat is no chair.

    Args:
        caption: Any text.

    Returns:
        Names of COCO categories.
    """
    forms, starts = _forms()
    words = _WORD.findall(_POSSESSIVE.sub(" ", caption.lower()))
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        if words[at] not in starts:
            at += 1
            continue
        for length in range(min(MOST_WORDS, len(words) - at), 0, -1):
            phrase = " ".join(words[at : at + length])
            if phrase in forms:
                found.append((phrase, forms[phrase]))
                break
        at += length
    names = [name for phrase, name in found if name]
    if "toilet" in names:
        names = [name for phrase, name in found if name and phrase not in ("seat", "seats")]
    return names


def plural(singular: str) -> str:
    """The plural of an English noun of one or more words."""
    before, _, last = singular.rpartition(" ")
    if singular in IRREGULAR:
        return IRREGULAR[singular]
    if last in IRREGULAR:
        ending = IRREGULAR[last]
    elif last.endswith("man"):
        ending = last.removesuffix("man") + "men"
    elif re.search(r"(s|x|z|ch|sh)$", last):
        ending = f"{last}es"
    elif re.search(r"[^aeiou]y$", last):
        ending = f"{last[:-1]}ies"
    else:
        ending = f"{last}s"
    return f"{before} {ending}".strip()


@cache
def _forms() -> tuple[Mapping[str, str], frozenset[str]]:
    """Every singular and plural with its category ("" for what only looks like an object), and their first words."""
    single = {word: name for name, words in SYNONYMS.items() for word in _listed(words)}
    young = {f"{age} {word}": name for word, name in single.items() if name in ANIMALS for age in YOUNG}
    carrying = {f"{who} {word}": name for word, name in single.items() if name in CARRIERS for who in CARRIED}
    all_single = dict.fromkeys(_listed(NOTHING), "") | young | carrying | single
    forms = {plural(word): name for word, name in all_single.items()} | all_single
    return forms, frozenset(form.partition(" ")[0] for form in forms)


def _listed(words: str) -> list[str]:
    return [" ".join(word.split()) for word in words.split(",")]
