"""POPE: is the thing there, yes or no. Torch-free.

Source: Li et al. 2023, "Evaluating Object Hallucination in Large Vision-Language Models", and its evaluation script.
"""

from __future__ import annotations

from flowtui.engine.datasets.items import Item

from .metric import Counts

NEGATIONS = frozenset({"No", "not", "no"})


def says_yes(text: str) -> bool:
    """Reads an answer: first sentence, commas stripped; "no" if its words contain No, not or no, else "yes".

    Words are what single spaces part, as in the official script: "No," is a no, "no!" and "NO" are not.
    """
    sentence = text.split(".", 1)[0].replace(",", "")
    return NEGATIONS.isdisjoint(sentence.split(" "))


class Pope:
    """Accuracy, precision, recall and F1 with "yes" as the positive answer, and the part of answers that are "yes"."""

    names = ("accuracy", "f1", "precision", "recall", "yes_ratio")

    def lower_is_better(self, name: str) -> bool:
        """Never."""
        return False

    def is_share(self, name: str) -> bool:
        """Always."""
        return True

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one answer; `item.truth` has a `label`, "yes" or "no"."""
        said, true = says_yes(text), item.truth["label"] == "yes"
        hit = float(said and true)
        return {
            "accuracy": (float(said == true), 1.0),
            "f1": (2 * hit, float(said) + float(true)),
            "precision": (hit, float(said)),
            "recall": (hit, float(true)),
            "yes_ratio": (float(said), 1.0),
        }
