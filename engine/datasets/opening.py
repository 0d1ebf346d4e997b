"""Opens a data set by its name. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowtui.errors import UsageError

from .demo import open_demo
from .items import Dataset

NAMES = ("demo",)


def open_dataset(
    name: str,
    *,
    questions: Sequence[Path] = (),
    images: Path | None = None,
    family: str = "",
    limit: int | None = None,
    seed: int | None = None,
    strict: bool = False,
    **options: Any,
) -> Dataset:
    """Opens a data set.

    Args:
        name: One of `NAMES`.
        questions: The official files, or the folder that they lie in; none for demo.
        images: The folder of the images; None to score answers, where none are needed.
        family: Model type, for the prompt.
        limit: How many items; None: all of them (demo: 500).
        seed: Of the random choice of images where there is a limit; None: the first ones. Of the scenes for demo.
        strict: Whether a note is an error.
        options: The data set's own.

    Raises:
        UsageError: No such data set, a file that is not what it should be, or a note where `strict`.
    """
    if name not in NAMES:
        raise UsageError(f"There is no data set {name!r}.", f"Use one of {', '.join(NAMES)}.")
    if questions or images:
        raise UsageError("The demo world makes its own questions and images.", "Leave --questions and --images out.")
    dataset = open_demo(limit, seed or 0, **options)
    if strict and dataset.notes:
        raise UsageError(dataset.notes[0], "Without --strict this is a note.")
    return dataset
