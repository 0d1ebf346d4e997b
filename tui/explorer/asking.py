"""Asking: a question becomes a new run in a tab of its own, which fills in while it is computed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message

from flowtui.engine.results import Run
from flowtui.engine.spec import Parameters, RunSpec
from flowtui.tui.text import visible

from . import computing
from .banner import show_banner
from .frame import Busy
from .look import look_from_plain
from .memory import limits_of
from .opening import Opening
from .question import Question, analyses_for, spec_for
from .recent import recent, used_model
from .runname import free_name
from .session import Session

if TYPE_CHECKING:
    from flowtui.engine.replies import Progress


class Answered(Message):
    """The model has answered; the analyses come next.

    Attributes:
        session: The new run, which has no file yet.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session


class Underway(Message):
    """How far the answer is.

    Attributes:
        progress: From the engine.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress


class Asking(Opening):
    """The dialog, and what its answer leads to."""

    async def action_ask(self) -> None:
        """Asks what to ask, unless something is being computed."""
        from .askscreen import AskScreen

        session, engine = self.session, self.free_engine()
        if engine is None:
            return
        questions = [s.facts.run.spec.question for s in reversed(self.sessions)]
        about = partial(self._about_asking, session)
        # Awaited: letters typed right after the key are no keys of the explorer.
        await self.push_screen(
            AskScreen(session.facts.run, questions, about, local=engine.local), partial(self._asked, session)
        )

    def _about_asking(self, session: Session) -> tuple[tuple[str, ...], str]:
        """Models used before, and where the new run will be written, in words; reads files."""
        models = recent(self._state_file).models
        if session.origin is None:
            return models, "in no file: this one has none."
        return models, f"and is written to {visible(free_name(session.origin).name)}."

    def _asked(self, session: Session, question: Question | None) -> None:
        if question is None:
            return
        run = session.facts.run
        spec = spec_for(run, question)

        def start(engine: computing.Engine) -> None:
            make = partial(self._new_run, session)
            self._start(answered(engine, self.post_message, spec, analyses_for(run), make))

        self._with_model(spec.model, spec.revision, start)

    def _new_run(self, asked_from: Session, run: Run) -> Session:
        """The new run, looked at as the one it was asked from. Decodes images."""
        look = look_from_plain(asked_from.look.to_plain(), limits_of(run))
        return Session(run, None, look, self._graphics, origin=asked_from.origin)

    def on_underway(self, event: Underway) -> None:
        """Shows how far the answer is."""
        stage = computing.STAGES.get(event.progress.stage, event.progress.stage)
        self.be_busy(Busy(stage, event.progress.fraction, event.progress.seconds_left))
        show_banner(self, event.progress.text)
        self._show()

    def on_answered(self, event: Answered) -> None:
        """Opens the new run."""
        self._job = event.session
        self.add_session(event.session)
        self._keep(event.session)

    @work(group="save")
    async def _keep(self, session: Session) -> None:
        """Gives the new run its file, and says which."""
        run = session.facts.run
        await asyncio.to_thread(used_model, self._state_file, run.spec.model)
        await self.save(session)
        self._remember_opened(session)
        where = f" Saved as {session.title}." if session.path is not None else ""
        self.notify(f"Answer: {run.answer.text or '(empty)'}.{where}")
        self._show()


async def answered(
    engine: computing.Engine,
    post: Callable[[Message], object],
    spec: RunSpec,
    analyses: list[Parameters],
    make: Callable[[Run], Session],
) -> AsyncGenerator[Message, None]:
    """An answer and its analyses, as messages.

    Args:
        engine: Answers.
        post: Where progress goes until there is an answer.
        spec: The question.
        analyses: What is computed of the answer.
        make: Opens the new run; called in a thread.
    """

    def report(progress: Progress) -> None:
        post(Underway(progress))

    run = await engine.create(spec, analyses, report)
    yield Answered(await asyncio.to_thread(make, run))
    requests = [computing.request_for(parameters) for parameters in analyses]
    async with aclosing(computing.computed(engine, run, requests)) as messages:
        async for message in messages:
            yield message
