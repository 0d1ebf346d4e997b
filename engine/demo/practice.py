"""Practice questions: half-steps towards the lagging kinds, asked in training only.

Presence of a coloured shape asks for two things at once, whether each attribute is there and whether they meet in one
thing; multiple choice asks to answer and then to find the answer's letter. Each half alone is learned much sooner, and
the whole follows. Practice uses the same words, so that the tokenizer needs no others.
"""

from __future__ import annotations

import numpy as np

from .questions import LETTERS, Question
from .world import COLOURS, SHAPES, Scene


def practise(scene: Scene, rng: np.random.Generator) -> Question:
    """One practice question about a scene, answer true to it."""
    return (_attribute, _meeting, _lookup)[int(rng.integers(3))](scene, rng)


def _attribute(scene: Scene, rng: np.random.Generator) -> Question:
    """Is there a circle? Is there a red object?"""
    if rng.random() < 0.5:
        present = sorted({t.name for t in scene.things if not t.is_character})
        name, answer = _either(present, SHAPES, rng)
        return Question("presence", f"Is there a {name} in the image?", answer, ())
    present = sorted({t.colour for t in scene.things})
    colour, answer = _either(present, tuple(COLOURS), rng)
    return Question("presence", f"Is there a {colour} object in the image?", answer, ())


def _meeting(scene: Scene, rng: np.random.Generator) -> Question:
    """Is the circle red? About a shape that is there once."""
    shapes = [t for t in scene.things if not t.is_character]
    alone = [t for t in shapes if sum(o.name == t.name for o in shapes) == 1]
    if not alone:
        return _attribute(scene, rng)
    thing = alone[int(rng.integers(len(alone)))]
    # Half of the wrong colours are another thing's own: the hard half.
    others = [o.colour for o in scene.things if o.colour != thing.colour]
    pool = others if others and rng.random() < 0.5 else [c for c in COLOURS if c != thing.colour]
    right = rng.random() < 0.5
    colour = thing.colour if right else pool[int(rng.integers(len(pool)))]
    return Question("presence", f"Is the {thing.name} {colour}?", "yes" if right else "no", ())


def _lookup(scene: Scene, rng: np.random.Generator) -> Question:
    """Which letter is blue? (A) red (B) blue: needs no image."""
    pool = tuple(COLOURS) if rng.random() < 0.5 else SHAPES
    options = [pool[int(i)] for i in rng.permutation(len(pool))[: int(rng.integers(2, 5))]]
    at = int(rng.integers(len(options)))
    listed = " ".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    return Question("choice", f"Which letter is {options[at]}? {listed} Answer with the letter.", LETTERS[at], ())


def _either(present: list[str], everything: tuple[str, ...], rng: np.random.Generator) -> tuple[str, str]:
    absent = [v for v in everything if v not in present]
    if rng.random() < 0.5 and present:
        return present[int(rng.integers(len(present)))], "yes"
    return absent[int(rng.integers(len(absent)))], "no"
