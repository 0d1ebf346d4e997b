"""CHAIR: how much of what a caption names is not in the image. Torch-free.

Source: Rohrbach et al. 2018, "Object Hallucination in Image Captioning": CHAIR_i and CHAIR_s. Recall and length say
what a low CHAIR was paid with: a caption that names nothing hallucinates nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from flowtui.engine.datasets.items import Item

from .metric import Counts


class Chair:
    """CHAIR_i, CHAIR_s, recall and length in words.

    Args:
        mentions: Finds the objects that a caption names, in order, each as often as it is named.
    """

    names = ("chair_i", "chair_s", "recall", "length")

    def __init__(self, mentions: Callable[[str], list[str]]) -> None:
        self.mentions = mentions

    def lower_is_better(self, name: str) -> bool:
        """For the two shares of hallucinations."""
        return name.startswith("chair")

    def is_share(self, name: str) -> bool:
        """All but length."""
        return name != "length"

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one caption; `item.truth` has the `objects` that are in the image."""
        named, true = self.mentions(text), set(item.truth["objects"])
        wrong = sum(name not in true for name in named)
        words = sum(any(map(str.isalnum, word)) for word in text.split())
        return {
            "chair_i": (float(wrong), float(len(named))),
            "chair_s": (float(wrong > 0), 1.0),
            "recall": (float(len(true.intersection(named))), float(len(true))),
            "length": (float(words), 1.0),
        }
