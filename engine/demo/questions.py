"""Questions about scenes, with exact answers, in the kinds of the four data sets the paper uses.

presence mirrors POPE (random, popular and adversarial negatives), colour/shape/position/letter mirror TextVQA's open
answers, choice mirrors ScienceQA (two to four options, answered by letter), caption mirrors CHAIR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from .world import CHARACTERS, COLOURS, COLUMNS, POPULAR, ROWS, SHAPES, Scene, Thing

Kind = Literal["presence", "colour", "shape", "position", "letter", "choice", "caption"]
KINDS: tuple[Kind, ...] = ("presence", "colour", "shape", "position", "letter", "choice", "caption")
LETTERS = ("A", "B", "C", "D")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one scene.

    Attributes:
        kind: One of `KINDS`.
        text: The question as a user would type it.
        answer: The one correct answer, as the model should write it.
        about: Indices of the scene's things that carry the answer; empty when it rests on an absence.
        detail: The negative strategy of a presence question ("positive", "random", "popular", "adversarial"), else "".
    """

    kind: Kind
    text: str
    answer: str
    about: tuple[int, ...]
    detail: str = ""


def ask(scene: Scene, kind: Kind, rng: np.random.Generator) -> Question | None:
    """Makes one question of a kind, or None where the scene does not allow an unambiguous one."""
    return _MAKERS[kind](scene, rng)


def _pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


def _image(rng: np.random.Generator) -> str:
    return _pick(rng, ("image", "picture"))


def _unique(scene: Scene, attribute: str) -> list[int]:
    """Indices of the things whose attribute no other thing of the scene shares."""
    values = [getattr(t, attribute) for t in scene.things]
    return [i for i, value in enumerate(values) if values.count(value) == 1]


def _reference(thing: Thing) -> str:
    """How a question refers to a thing without its colour: a character's own name would give the answer away."""
    return "character" if thing.is_character else thing.name


def _presence(scene: Scene, rng: np.random.Generator) -> Question:
    present = {(t.colour, t.name): i for i, t in enumerate(scene.things) if not t.is_character}
    about: tuple[int, ...] = ()
    if rng.random() < 0.5:
        detail, pair = "positive", _pick(rng, list(present))
        about = (present[pair],)
    else:
        absent = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in present]
        near = [p for p in absent if any(p[0] == q[0] or p[1] == q[1] for q in present)]
        detail = _pick(rng, ("random", "popular", "adversarial"))
        pool = {"random": absent, "popular": [p for p in POPULAR if p not in present], "adversarial": near}[detail]
        pair = _pick(rng, pool)
    text = f"Is there a {pair[0]} {pair[1]} in the {_image(rng)}?"
    return Question("presence", text, "yes" if about else "no", about, detail)


def _colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    candidates = _unique(scene, "name")
    if not candidates:
        return None
    i = _pick(rng, candidates)
    word = _pick(rng, ("color", "colour"))
    return Question("colour", f"What {word} is the {_reference(scene.things[i])}?", scene.things[i].colour, (i,))


def _shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    candidates = [i for i in _unique(scene, "colour") if not scene.things[i].is_character]
    if not candidates:
        return None
    i = _pick(rng, candidates)
    return Question("shape", f"What shape is the {scene.things[i].colour} object?", scene.things[i].name, (i,))


def _position(scene: Scene, rng: np.random.Generator) -> Question:
    i = int(rng.integers(len(scene.things)))
    thing = scene.things[i]
    return Question("position", f"Where is the {thing.colour} {_reference(thing)}?", thing.place, (i,))


def _letter(scene: Scene, rng: np.random.Generator) -> Question | None:
    for i, thing in enumerate(scene.things):
        if thing.is_character:
            return Question("letter", f"Which character is written in the {_image(rng)}?", thing.name, (i,))
    return None


def _choice(scene: Scene, rng: np.random.Generator) -> Question | None:
    kind: Kind = _pick(rng, ("colour", "shape"))
    inner = ask(scene, kind, rng)
    if inner is None:
        return None
    pool = [v for v in (tuple(COLOURS) if kind == "colour" else SHAPES) if v != inner.answer]
    count = int(rng.integers(2, 5))
    options = [pool[int(i)] for i in rng.permutation(len(pool))[: count - 1]]
    at = int(rng.integers(count))
    options.insert(at, inner.answer)
    listed = " ".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return Question("choice", f"{inner.text} {listed} Answer with the letter.", LETTERS[at], inner.about, kind)


def _caption(scene: Scene, rng: np.random.Generator) -> Question:
    answer = " and ".join(f"a {t.phrase}" for t in scene.things)
    return Question("caption", f"Describe the {_image(rng)}.", answer, tuple(range(len(scene.things))))


_MAKERS = {
    "presence": _presence,
    "colour": _colour,
    "shape": _shape,
    "position": _position,
    "letter": _letter,
    "choice": _choice,
    "caption": _caption,
}


def phrases(caption: str) -> frozenset[str]:
    """The set of things a caption names: "a red circle and a blue letter A" gives {"red circle", "blue letter A"}."""
    return frozenset(part.strip().removeprefix("a ").strip() for part in caption.strip().split(" and ") if part.strip())


VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            *COLOURS,
            *SHAPES,
            *CHARACTERS,
            *ROWS,
            *COLUMNS,
            *("first", "second", "third"),
            *LETTERS,
            *("(", ")", "?", ".", ",", "yes", "no", "a", "and", "letter", "digit", "character", "object"),
            *("image", "picture"),
            *("Is", "there", "in", "the", "What", "color", "colour", "is", "shape", "Where", "Which", "written"),
            *("Answer", "with", "Describe", "You", "look", "at", "one", "answer", "few", "words"),
        )
    )
)
"""Every word the tokenizer knows, colours to places first."""
