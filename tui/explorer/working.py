"""Computing what is missing of a run: starts it, takes in what arrives, and writes it to the file."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.worker import Worker

from flowtui.engine.results import Run
from flowtui.engine.spec import DEMO_MODEL
from flowtui.errors import FlowtuiError, LineError
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Graphics
from flowtui.tui.draw.tabs import Tab
from flowtui.tui.text import visible

from . import computing
from .banner import EngineLost, show_banner
from .frame import Busy
from .question import full_name
from .session import Session
from .shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowtui.engine.workflow import Request

log = logging.getLogger(__name__)


class Working(Shell):
    """One computation at a time, with one engine that stays for the next."""

    def __init__(
        self,
        run: Run | None,
        path: Path | None,
        graphics: Graphics,
        state_file: Path | None,
        config: Config,
        engine: computing.Engine | None,
    ) -> None:
        super().__init__(run, path, graphics, state_file, config)
        self._engine = engine
        self._trusted: set[tuple[str, str | None]] = set()
        self._job: Session | None = None
        self._worker: Worker[None] | None = None
        if engine is not None:
            engine.on_lost = self._lost

    async def on_unmount(self) -> None:
        """Writes what has arrived until now and ends the engine."""
        if self._worker is not None:
            self._worker.cancel()
        for session in self.sessions:
            try:
                await session.save()
            except FlowtuiError as error:
                log.warning("not saved: %s", error)
        if self._engine is not None:
            await self._engine.close()

    def action_compute(self) -> None:
        """Computes whatever is missing."""
        if not self.facts.missing:
            self.notify("Nothing is missing: every analysis has all its layers.")
            return
        self.compute(computing.requests_for(self.facts.run))

    def compute_cam(self, site: str) -> None:
        """CAM at another site; what the file holds already is only shown again."""
        parameters = computing.site_parameters(self.facts.run, site)
        on_disk = self.session.on_disk
        kept = None if on_disk is None else computing.as_on_disk(on_disk, "cam", parameters)
        if kept is not None:
            self.session.replace(self.facts.run.with_analysis(kept))
            self._show()
        else:
            self.compute([computing.request_for(parameters)])

    def compute(self, requests: list[Request]) -> None:
        """Starts a computation of the run on screen."""
        session = self.session

        def start(engine: computing.Engine) -> None:
            self._job = session
            self._start(computing.computed(engine, session.facts.run, requests))

        run = session.facts.run
        self._with_model(run.spec.model, run.model.revision or run.spec.revision, start)

    def free_engine(self) -> computing.Engine | None:
        """The engine, if it is free; else says why not."""
        if self._engine is None:
            self.notify("This explorer was opened without an engine.", severity="warning")
        elif self.busy is not None:
            self.notify("A computation is running. Esc cancels it.")
        else:
            return self._engine
        return None

    def _with_model(self, model: str, revision: str | None, start: Callable[[computing.Engine], None]) -> None:
        """Goes on with an engine that is free, after a yes where it would load a model that only a file names."""
        engine = self.free_engine()
        if engine is None:
            return
        if model == DEMO_MODEL or (model, revision) in self._trusted or model not in self._named_by_files():
            start(engine)
        else:
            from .dialogs import ConfirmScreen

            exactly = f" in revision “{visible(revision)}”" if revision else ""
            question = f"Load the model “{visible(model)}”{exactly}, which this file names, and compute with it?"
            self.push_screen(ConfirmScreen(question), partial(self._confirmed, model, revision, start))

    def _named_by_files(self) -> set[str]:
        """Models that the open files name, a folder also by its full name."""
        named = {session.facts.run.spec.model for session in self.sessions}
        return named | {full_name(model) for model in named}

    def _confirmed(
        self, model: str, revision: str | None, start: Callable[[computing.Engine], None], yes: bool | None
    ) -> None:
        if yes:
            self._trusted.add((model, revision))
            self._with_model(model, revision, start)

    def _start(self, messages: AsyncGenerator[Message, None]) -> None:
        self.busy = Busy("starting")
        show_banner(self, "")
        self._worker = self.run_worker(computing.stream(self.post_message, messages), group="compute")
        self._show()

    @property
    def doing(self) -> Busy | None:
        """What is being computed, and in which run where that is another than the one on screen."""
        busy, job = self.busy, self._job
        if busy is None or job is None or job is self.session:
            return busy
        return replace(busy, text=f"run {self.sessions.index(job) + 1}: {busy.text}")

    def tab_of(self, session: Session) -> Tab:
        """What the tab of a run says."""
        return replace(super().tab_of(session), busy=session is self._job)

    def action_cancel(self) -> None:
        """Cancels the computation; what has arrived stays."""
        show_banner(self, "")
        if self._worker is not None and self.busy is not None:
            self.busy = Busy("cancelling")
            self._worker.cancel()
            self._show()

    def on_arrived(self, event: computing.Arrived) -> None:
        """Takes over a run with more layers."""
        update = event.update
        if update.notice:
            self.notify(update.notice)
        if update.progress is not None:
            self.be_busy(computing.busy_from(update.progress, update.run))
        show_banner(self, update.progress.text if update.progress is not None else "")
        if self._job is not None:
            self._job.replace(update.run)
        self._show()

    def be_busy(self, busy: Busy) -> None:
        """Shows how far the computation is, unless it is being cancelled."""
        if self.busy is not None and self.busy.text != "cancelling":
            self.busy = busy

    def _lost(self, error: FlowtuiError) -> None:
        self.post_message(EngineLost(error))

    def on_engine_lost(self, event: EngineLost) -> None:
        """Says that the engine is gone, where no computation will."""
        if self.busy is None:
            show_banner(self, f"{event.error.message} The next computation starts it again.")

    def on_ended(self, event: computing.Ended) -> None:
        """Says how it ended, and writes what has arrived."""
        job, self._job, self.busy, self._worker = self._job, None, None, None
        self._show()
        if event.cancelled:
            self.notify("Cancelled. What had arrived is kept." if job else "Cancelled. The question was not answered.")
        elif event.error is not None:
            self.notify(str(event.error), title="Computing failed", severity="error", timeout=12)
        show_banner(self, event.error.message if isinstance(event.error, LineError) else "")
        if job is not None:
            self._save(job)

    @work(group="save")
    async def _save(self, session: Session) -> None:
        await self.save(session)

    async def save(self, session: Session) -> None:
        """Writes what the file of a run lacks; a failure is a toast."""
        try:
            await session.save()
        except FlowtuiError as error:
            self.notify(str(error), title="Not saved", severity="error", timeout=12)
