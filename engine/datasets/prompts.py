"""How each data set's questions are put to each model family: data, with its source. Torch-free.

Scores move by several points with the prompt, so the one that was used is recorded beside them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask.

    Attributes:
        dataset: Name of the data set.
        family: Model type as transformers names it; "" for every family that has no row of its own.
        form: The user's text with {fields} of the data set in it.
        source: Where it is published.
    """

    dataset: str
    family: str
    form: str
    source: str


PROMPTS: tuple[Prompt, ...] = (
    Prompt("demo", "", "{question}", "docs/demo-model.md: the questions the demo model was trained on"),
)


def prompt_for(dataset: str, family: str = "") -> Prompt:
    """The family's own prompt, or the data set's general one."""
    rows = {row.family: row for row in PROMPTS if row.dataset == dataset}
    return rows.get(family, rows[""])
