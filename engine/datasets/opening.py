"""Opens a data set by its name. Torch-free.

A name can say which variant is meant, after a plus: `textvqa+ocr`, `scienceqa+val`, `demo+presence+caption`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from flowtui.engine.demo.questions import KINDS
from flowtui.errors import UsageError

from .chair import open_chair
from .demo import open_demo
from .items import Dataset
from .pope import open_pope
from .prompts import prompt_for
from .scienceqa import open_scienceqa
from .textvqa import open_textvqa

OPENERS = {"pope": open_pope, "textvqa": open_textvqa, "scienceqa": open_scienceqa, "chair": open_chair}
NAMES = ("demo", *OPENERS)
_SHARED = ("questions", "images", "prompt", "limit", "seed")


def read_name(text: str) -> tuple[str, dict[str, Any]]:
    """Parts a name from the options that its variants stand for.

    Args:
        text: Like "textvqa+ocr", "scienceqa+minitest+all", "demo+presence".

    Returns:
        The name, and options of `open_dataset`.

    Raises:
        UsageError: No such data set or variant.
    """
    name, *variants = text.split("+")
    if name not in NAMES:
        raise UsageError(f"There is no data set {name!r}.", f"Use one of {', '.join(NAMES)}.")
    options: dict[str, Any] = {}
    for variant in variants:
        if name == "textvqa" and variant == "ocr":
            options["ocr"] = True
        elif name == "scienceqa" and variant in ("all", "image", "text"):
            options["which"] = variant
        elif name == "scienceqa" and variant:
            options["split"] = variant
        elif name == "demo" and variant in KINDS:
            options.setdefault("kinds", []).append(variant)
        else:
            known = {"textvqa": "ocr", "scienceqa": "a split, image, text, all", "demo": ", ".join(KINDS)}
            raise UsageError(f"The data set {name} has no variant {variant!r}.", f"It has {known.get(name, 'none')}.")
    return name, options


def open_dataset(
    name: str,
    *,
    questions: Sequence[Path] = (),
    images: Path | None = None,
    family: str = "",
    form: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    strict: bool = False,
    **options: Any,
) -> Dataset:
    """Opens a data set.

    Args:
        name: One of `NAMES`, with its variants.
        questions: The official files, or the folder that they lie in; none for demo.
        images: The folder of the images; None to score answers, where none are needed.
        family: Model type, for the prompt.
        form: A prompt of the user's own.
        limit: How many items; None: all of them (demo: 500).
        seed: Of the random choice of images where there is a limit; None: the first ones. Of the scenes for demo.
        strict: Whether a note is an error.
        options: The data set's own: `ocr` (textvqa), `split` and `which` (scienceqa), `kinds` (demo).

    Raises:
        UsageError: No such data set or option, a file that is not what it should be, or a note where `strict`.
    """
    name, variants = read_name(name)
    options = variants | options
    opener = open_demo if name == "demo" else OPENERS[name]
    own = [option for option in signature(opener).parameters if option not in _SHARED]
    strange = [option for option in options if option not in own]
    if strange:
        raise UsageError(f"The data set {name} has no option {strange[0]!r}.", f"It has {', '.join(own) or 'none'}.")
    if name == "demo":
        if questions or images or form:
            raise UsageError(
                "The demo world makes its own questions and images.", "Leave --questions, --images and --prompt out."
            )
        dataset = open_demo(limit, seed or 0, **options)
    else:
        key = "textvqa+ocr" if options.get("ocr") else name
        dataset = OPENERS[name](questions, images, prompt_for(key, family, form), limit, seed, **options)
        recorded = {**(dataset.options or {}), "limit": limit, "seed": seed}
        dataset = replace(dataset, options=recorded)
    if strict and dataset.notes:
        raise UsageError(dataset.notes[0], "Without --strict this is a note.")
    return dataset
