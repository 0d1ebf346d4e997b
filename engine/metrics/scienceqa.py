"""ScienceQA: the letter of the right option. Torch-free.

Source: Lu et al. 2022, "Learn to Explain", and the evaluation script of LLaVA, on which the paper's numbers
rest.
"""

from __future__ import annotations

import re

from flowtui.engine.datasets.items import Item

from .metric import Counts

LETTERS = "ABCDE"
_SENTENCE = re.compile(r"The answer is ([A-Z]).")
"""The official pattern: its last dot is not escaped, so any character on the line may follow the letter."""


def choice_of(text: str, options: int) -> int | None:
    """Reads an answer: exactly a letter, else a text that starts with "X. ", else exactly one "The answer is X.".

    Args:
        text: The answer.
        options: How many there are; a letter beyond them is no choice.

    Returns:
        Index of the option; None where the answer names none.
    """
    if text in LETTERS and len(text) == 1:
        letter = text
    elif len(text) >= 3 and text[0] in LETTERS and text[1:3] == ". ":
        letter = text[0]
    else:
        found = _SENTENCE.findall(text)
        letter = found[0] if len(found) == 1 else ""
    index = LETTERS.find(letter) if letter else -1
    return index if 0 <= index < options else None


class ScienceQa:
    """Accuracy on questions with an image, on those without one, and on all."""

    names = ("image_accuracy", "text_accuracy", "accuracy")

    def lower_is_better(self, name: str) -> bool:
        """Never."""
        return False

    def is_share(self, name: str) -> bool:
        """Always."""
        return True

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one answer; `item.truth` has the `choices` and the index of the right one, `answer`."""
        right = float(choice_of(text, len(item.truth["choices"])) == item.truth["answer"])
        return {
            "image_accuracy": (right, 1.0) if item.image is not None else (0.0, 0.0),
            "text_accuracy": (right, 1.0) if item.image is None else (0.0, 0.0),
            "accuracy": (right, 1.0),
        }
