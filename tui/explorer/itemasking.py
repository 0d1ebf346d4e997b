"""An item of a sweep becomes a run: the model is asked it again, with everything that a run holds."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path

from textual import work

from flowtui.engine.results import Run
from flowtui.engine.spec import ANALYSES, PARAMETERS
from flowtui.errors import FlowtuiError

from . import computing
from .asking import Asking, answered
from .look import Look
from .opensweep import OpenSweep
from .session import Session

MAX_NAME = 60


class ItemAsking(Asking):
    """From a sweep's item to a tab of its own.

    Attributes:
        images: Folder of the data set's images, where it needs one.
    """

    images: Path | None = None

    def open_item(self, sweep: OpenSweep, item: int) -> None:
        """Opens an item as a run, or goes to the tab where it is open."""
        origin = run_file(sweep, item)
        for session in self.sessions:
            if session.origin == origin:
                self.show_session(session)
                return
        if self.free_engine() is not None:
            self._open_item(sweep, item, origin)

    @work(group="item")
    async def _open_item(self, sweep: OpenSweep, item: int, origin: Path) -> None:
        from .itemspec import item_spec

        try:
            # Images may lie on a slow disk.
            spec = await asyncio.to_thread(item_spec, sweep.facts.sweep, item, self.images)
        except FlowtuiError as error:
            self.notify(str(error), title="Not opened", severity="error", timeout=12)
            return
        k = min(sweep.look.k, sweep.facts.layers - 1)

        def start(engine: computing.Engine) -> None:
            make = partial(self._run_of_item, origin, k)
            analyses = [PARAMETERS[name]() for name in ANALYSES]
            self._start(answered(engine, self.post_message, spec, analyses, make))

        self._with_model(spec.model, spec.revision, start)

    def _run_of_item(self, origin: Path, layer: int, run: Run) -> Session:
        """The new run, at the layer of the sweep's K. Decodes images."""
        return Session(
            run, None, Look(layer=layer, palette=self._config.palette), self._graphics, origin=origin, own=True
        )


def run_file(sweep: OpenSweep, item: int) -> Path:
    """Where an item's run is written: beside the sweep, named after both."""
    name = re.sub(r"[^\w.-]+", "-", sweep.facts.sweep.items[item].id)[:MAX_NAME].strip(".-") or str(item)
    stem = "sweep" if sweep.path is None else sweep.path.stem
    return (Path() if sweep.path is None else sweep.path.parent) / f"{stem}-{name}.pkl"
