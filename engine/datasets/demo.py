"""The demo world as a data set: scenes the model has never seen, four kinds of question, exact truth. Torch-free.

presence is asked and judged like POPE, colour, shape, position and letter like TextVQA, choice like ScienceQA and
caption like CHAIR. Nothing is stored: a seed makes the scenes, and an image is drawn when it is asked for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from flowtui.engine.demo.questions import KINDS, LETTERS, Kind, Question, ask
from flowtui.engine.demo.world import Scene, render, scenes
from flowtui.errors import UsageError

from .items import Dataset, Item
from .prompts import prompt_for

DEFAULT_LIMIT = 500
ANSWERS = 10
"""TextVQA has ten people's answers; here they all agree."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The scenes by the names their images have."""

    scenes: Mapping[str, Scene]

    def read(self, name: str) -> bytes:
        """Draws a scene: a PNG file's bytes."""
        out = io.BytesIO()
        Image.fromarray(render(self.scenes[name])[0]).save(out, "PNG")
        return out.getvalue()


def open_demo(limit: int | None = None, seed: int = 0, kinds: Sequence[str] = KINDS) -> Dataset:
    """Makes questions about evaluation scenes.

    Args:
        limit: How many items; None: `DEFAULT_LIMIT`. More items begin with the same ones.
        seed: Any integer of at least 0.
        kinds: Which of `KINDS`; each scene is asked one question of each that it allows.

    Raises:
        UsageError: No such kind.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise UsageError(f"The demo world has no kind {unknown or ''!r}.", f"Use some of {', '.join(KINDS)}.")
    wanted: list[Kind] = [kind for kind in KINDS if kind in kinds]
    limit = DEFAULT_LIMIT if limit is None else limit
    prompt, items, drawn = prompt_for("demo"), list[Item](), dict[str, Scene]()
    stream, number = scenes(seed, "evaluation"), 0
    while len(items) < limit:
        name, scene = f"scene-{number:06}.png", next(stream)
        # Each scene and kind has a random stream of its own: which other kinds are asked changes no question.
        for kind in wanted:
            question = ask(scene, kind, np.random.default_rng((seed, 13, number, KINDS.index(kind))))
            if question is not None and len(items) < limit:
                text = prompt.form.format(question=question.text)
                item = Item(f"{number:06}-{kind}", name, name, text, truth_of(scene, question), kind)
                items.append(item)
                drawn[name] = scene
        number += 1
    options = {"seed": seed, "limit": limit, "kinds": list(wanted)}
    return Dataset("demo", tuple(items), Rendered(drawn), prompt, options)


def truth_of(scene: Scene, question: Question) -> dict[str, Any]:
    """What the metric of the question's kind judges by."""
    if question.kind == "presence":
        return {"label": question.answer}
    if question.kind == "choice":
        options = re.findall(r"\([A-D]\) (\w+)", question.text)
        return {"answer": LETTERS.index(question.answer), "choices": options}
    if question.kind == "caption":
        return {"objects": [thing.phrase for thing in scene.things]}
    return {"answers": [question.answer] * ANSWERS}
