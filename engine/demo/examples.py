"""The shipped evaluation scenes: images, questions, answers, masks. Torch-free."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCENES = Path(__file__).parent / "scenes"
WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True, slots=True)
class Example:
    """One shipped question about one shipped scene.

    Attributes:
        scene: Number of the scene, 1..8.
        kind: Kind of question; every scene's first question is of the scene's own kind.
        image: Path of the PNG.
        mask: Path of the label image: 0 background, i + 1 for the scene's i-th thing.
        question: The question.
        answer: The one correct answer.
        boxes_px: Boxes (left, top, right, bottom) of the things that carry the answer.
    """

    scene: int
    kind: str
    image: Path
    mask: Path
    question: str
    answer: str
    boxes_px: tuple[tuple[int, int, int, int], ...]


def examples(folder: Path = SCENES) -> list[Example]:
    """All shipped questions, scene by scene."""
    found = []
    for number, entry in enumerate(json.loads((folder / "scenes.json").read_text("utf-8")), 1):
        for asked in entry["questions"]:
            boxes = tuple(_box(entry["things"][i]) for i in asked["about"])
            image, mask = folder / entry["image"], folder / entry["mask"]
            found.append(Example(number, asked["kind"], image, mask, asked["question"], asked["answer"], boxes))
    return found


def first_of(kind: str, folder: Path = SCENES) -> Example:
    """The example of a kind on the scene made for it: the one that `flowtui demo` and examples/KIND.pkl show.

    Raises:
        KeyError: There is no such kind.
    """
    by_scene: dict[int, Example] = {}
    for example in examples(folder):
        by_scene.setdefault(example.scene, example)
    return {e.kind: e for e in reversed(by_scene.values())}[kind]


def _box(thing: dict[str, Any]) -> tuple[int, int, int, int]:
    left, top, right, bottom = thing["box_px"]
    return left, top, right, bottom
