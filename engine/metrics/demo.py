"""The demo world's answers, each kind judged by the rules of the data set that it mirrors. Torch-free."""

from __future__ import annotations

import re

from flowtui.engine.datasets.items import Item
from flowtui.engine.demo.questions import Kind
from flowtui.engine.demo.world import COLOURS, SHAPES

from .chair import Chair
from .metric import Counts, Metric
from .pope import Pope
from .scienceqa import ScienceQa
from .textvqa import TextVqa

LIKE: dict[Kind, str] = {
    "presence": "pope",
    "colour": "textvqa",
    "shape": "textvqa",
    "position": "textvqa",
    "letter": "textvqa",
    "choice": "scienceqa",
    "caption": "chair",
}
"""The data set whose rules judge each kind."""

_THING = re.compile(rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}|(?:letter|digit) [A-Z0-9])\b")


def mentions(caption: str) -> list[str]:
    """The things that a caption names, in order: "a red circle and a blue letter E" names two."""
    return [" ".join(found) for found in _THING.findall(caption)]


class Demo:
    """`accuracy` over all kinds (a caption is right when it names exactly what is there), then each data set's own.

    Those have its name before them: pope.f1 is over presence questions alone.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Metric] = {
            "pope": Pope(),
            "textvqa": TextVqa(),
            "scienceqa": ScienceQa(),
            "chair": Chair(mentions),
        }
        own = (f"{part}.{name}" for part, metric in self.parts.items() for name in metric.names)
        self.names = ("accuracy", *own)

    def lower_is_better(self, name: str) -> bool:
        """As the data set has it."""
        part, _, own = name.rpartition(".")
        return bool(part) and self.parts[part].lower_is_better(own)

    def is_share(self, name: str) -> bool:
        """As the data set has it."""
        part, _, own = name.rpartition(".")
        return not part or self.parts[part].is_share(own)

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one answer; names of other kinds than the item's get (0, 0)."""
        part = LIKE[item.kind]  # type: ignore[index]  # a str from a file; a KeyError would be our own mistake
        counted = self.parts[part].counts(item, text)
        if part == "chair":
            right = (float(set(mentions(text)) == set(item.truth["objects"])), 1.0)
        else:
            right = counted["accuracy"]
        return dict.fromkeys(self.names, (0.0, 0.0)) | {
            "accuracy": right,
            **{f"{part}.{name}": pair for name, pair in counted.items()},
        }
