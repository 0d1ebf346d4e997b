"""Computing what is missing, away from the widgets: a worker turns the engine's updates into messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textual.message import Message

from flowtui.engine.results import Analysis, Run
from flowtui.engine.spec import (
    ANALYSES,
    PARAMETERS,
    Parameters,
    parameters_from_plain,
    parameters_to_plain,
)
from flowtui.errors import CancelledError, FlowtuiError

from .frame import Busy

if TYPE_CHECKING:
    from flowtui.engine.client import OnProgress
    from flowtui.engine.spec import RunSpec
    from flowtui.engine.workflow import Progress, Request, Update

log = logging.getLogger(__name__)

STAGES = {
    "start": "starting the engine",
    "load": "loading the model",
    "fit": "looking at what it takes",
    "prepare": "preparing the question",
    "wait": "waiting for another process that computes the same",
    "reconnect": "connecting again",
}
"""The workflow's stages in words; others are named as they are."""


class Engine(Protocol):
    """What the explorer wants of an engine. It is asked for one thing at a time, and may stay between two."""

    local: bool
    """Whether it is on this machine, and sees its folders."""
    on_lost: Callable[[FlowtuiError], None] | None
    """Called with the reason when it goes away unasked."""

    def compute(self, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Update, None]:
        """Adds what a run lacks, as `flowtui.engine.workflow.complete` does."""
        ...

    async def create(self, spec: RunSpec, analyses: Sequence[Parameters], on_progress: OnProgress) -> Run:
        """Answers a question, as `flowtui.engine.workflow.create_run` does; `analyses` will be asked for next."""
        ...

    async def close(self) -> None:
        """Lets go of everything."""
        ...


class Arrived(Message):
    """Something new: a layer, progress or a notice.

    Attributes:
        update: From the workflow.
    """

    def __init__(self, update: Update) -> None:
        super().__init__()
        self.update = update


class Ended(Message):
    """The computation is over.

    Attributes:
        cancelled: By the user.
        error: Why it failed, or None.
    """

    def __init__(self, *, cancelled: bool = False, error: FlowtuiError | None = None) -> None:
        super().__init__()
        self.cancelled = cancelled
        self.error = error


def requests_for(run: Run) -> list[Request]:
    """One request per analysis that is not complete, with the parameters the run already has."""
    from flowtui.engine.workflow import Request

    made = []
    for name in ANALYSES:
        missing = run.missing(name)
        if missing:
            old = run.analyses.get(name)
            parameters = PARAMETERS[name]() if old is None else parameters_from_plain(name, dict(old.parameters))
            made.append(Request(name, parameters, missing))
    return made


def request_for(parameters: Parameters) -> Request:
    """A request for all layers of the analysis that these parameters belong to."""
    from flowtui.engine.workflow import Request

    return Request(next(name for name in ANALYSES if type(parameters) is PARAMETERS[name]), parameters)


async def computed(engine: Engine, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Message, None]:
    """What is missing of a run, as messages."""
    async with aclosing(engine.compute(run, requests)) as updates:
        async for update in updates:
            yield Arrived(update)


async def stream(post: Callable[[Message], object], messages: AsyncGenerator[Message, None]) -> None:
    """Posts the messages of a computation to its end, then exactly one `Ended`."""
    try:
        async with aclosing(messages):
            async for message in messages:
                post(message)
    except (asyncio.CancelledError, CancelledError):
        post(Ended(cancelled=True))
    except FlowtuiError as error:
        post(Ended(error=error))
    except Exception as error:  # a defect in the engine's client must not take the screen down
        log.exception("computing failed")
        post(Ended(error=FlowtuiError(f"Computing failed: {type(error).__name__}: {error}.", "Press r to try again.")))
    else:
        post(Ended())


def busy_from(progress: Progress, run: Run) -> Busy:
    """Progress in the words of the last line."""
    words = [progress.analysis or STAGES.get(progress.stage, progress.stage)]
    if progress.layer is not None:
        last = run.expected(progress.analysis or "").stop - 1
        words.append(f"{'K' if progress.analysis == 'truncation' else 'layer'} {progress.layer}/{last}")
    elif progress.analysis is not None and progress.stage != progress.analysis:
        words.append(STAGES.get(progress.stage, progress.stage))
    return Busy(" ".join(words), progress.fraction, progress.seconds_left)


def for_file(run: Run, on_disk: Run) -> Run:
    """The run to write: what the file holds with other parameters than those on screen stays as it is there."""
    kept = dict(run.analyses)
    for name, old in on_disk.analyses.items():
        if name not in kept or dict(kept[name].parameters) != dict(old.parameters):
            kept[name] = old
    return replace(run, analyses=kept)


def as_on_disk(on_disk: Run, name: str, parameters: Parameters) -> Analysis | None:
    """The file's own analysis, if it has one with these parameters."""
    old = on_disk.analyses.get(name)
    return old if old is not None and dict(old.parameters) == parameters_to_plain(parameters) else None


def save(path: Path, run: Run) -> None:
    """Writes the run file.

    Raises:
        FlowtuiError: It cannot be written.
    """
    from flowtui.cache.runfile import write_plain

    try:
        write_plain(path, run.to_plain())
    except OSError as error:
        raise FlowtuiError(f"{path.name} was not written: {error.strerror or error}.") from error


def site_parameters(run: Run, site: str) -> Parameters:
    """The run's CAM parameters (or the defaults) at another site."""
    old = run.analyses.get("cam")
    values = dict(old.parameters) if old is not None else parameters_to_plain(PARAMETERS["cam"]())
    return parameters_from_plain("cam", {**values, "site": site})
