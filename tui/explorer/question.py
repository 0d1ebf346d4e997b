"""What a person may ask next: another question, image or model, as a spec for the engine."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flowtui.cache.plain import LIMITS
from flowtui.engine.images import decode_image
from flowtui.engine.results import Run
from flowtui.engine.spec import (
    ANALYSES,
    DEMO_MODEL,
    PARAMETERS,
    Parameters,
    RunSpec,
    parameters_from_plain,
)
from flowtui.errors import UsageError
from flowtui.tui.text import visible


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, beside what stays as in the run it was asked from.

    Attributes:
        text: The question.
        images: Encoded image files; None for those of the run.
        model: "demo", a model directory or a Hugging Face id.
    """

    text: str
    images: tuple[bytes, ...] | None
    model: str


def spec_for(run: Run, question: Question) -> RunSpec:
    """The spec of a question asked from a run: the same model is asked in the same revision and precision."""
    same = question.model == run.spec.model
    return replace(
        run.spec,
        question=question.text,
        images=question.images or run.spec.images,
        model=question.model,
        answer=None,
        revision=(run.model.revision or run.spec.revision) if same else None,
        dtype=run.model.dtype if same else "auto",
        device=run.spec.device if same else "auto",
        trust_remote_code=False,
    )


def analyses_for(run: Run) -> list[Parameters]:
    """The analyses that the run has, with its parameters, so that the two can be compared; all where it has none."""
    there = [
        parameters_from_plain(name, dict(run.analyses[name].parameters)) for name in ANALYSES if name in run.analyses
    ]
    return there or [PARAMETERS[name]() for name in ANALYSES]


def known_models(run: Run, recent: Sequence[str]) -> tuple[str, ...]:
    """Models that can be asked without typing a name: the run's own first."""
    return tuple(dict.fromkeys((run.spec.model, DEMO_MODEL, *recent)))


def full_name(model: str) -> str:
    """A model directory as an absolute path, so that the run can be completed from any folder."""
    if model == DEMO_MODEL:
        return model
    try:
        path = Path(model).expanduser()
        return str(path.resolve()) if path.is_dir() else model
    except (OSError, ValueError, RuntimeError):
        return model


def read_image(text: str) -> bytes:
    """An image file's bytes, decoded once to be sure that it is one.

    Raises:
        UsageError: It cannot be read or is not an image.
    """
    name = visible(text)
    try:
        # Without O_NONBLOCK the open of a named pipe would wait for a writer.
        handle = os.open(Path(text).expanduser(), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UsageError(f"{name} is not a file.", "Give the path of an image.")
            data = file.read(LIMITS.blob_bytes + 1)
    except FileNotFoundError:
        raise UsageError(f"There is no image {name}.", "Tab completes a path.") from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"The image {name} cannot be read: {reason}.") from error
    if len(data) > LIMITS.blob_bytes:
        raise UsageError(f"The image {name} is larger than {LIMITS.blob_bytes >> 20} MiB.", "Make it smaller first.")
    try:
        decode_image(data)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.hint) from None
    return data
