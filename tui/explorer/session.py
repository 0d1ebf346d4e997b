"""One open run: what the explorer knows of it, how it is looked at, and what of it is in its file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flowtui.engine.results import Run
from flowtui.tui.draw.graphics import Graphics
from flowtui.tui.text import visible

from . import computing
from .facts import Facts
from .look import Look
from .painter import Painter
from .runname import claim


class Session:
    """A run in a tab of its own.

    Args:
        run: The run.
        path: Its file, written when something was computed; None for a run without a file.
        look: How it is looked at first.
        graphics: The renderer of its maps.
        origin: The file that a run was asked from which has no file yet: its own will be beside that one.
        own: Whether `origin` is to be its own file, where that is free.

    Attributes:
        facts: Numbers of the run as it is now.
        look: What of it is shown.
        painter: Draws its maps.
        path: Its file.
        origin: The file after which runs asked from here are named.
        on_disk: What its file holds, or None.
    """

    def __init__(
        self,
        run: Run,
        path: Path | None,
        look: Look,
        graphics: Graphics,
        *,
        origin: Path | None = None,
        own: bool = False,
    ) -> None:
        self.facts = Facts(run)
        self.look = look
        self.painter = Painter(run, graphics)
        self.path = path
        self.origin = origin or path
        self._own = own
        self.on_disk = run if path is not None or origin is None else None
        self._writing = asyncio.Lock()

    @property
    def title(self) -> str:
        """The file's name, safe to show, or ""."""
        return "" if self.path is None else visible(self.path.name)

    def replace(self, run: Run) -> None:
        """Takes over the run with more, or other, layers."""
        if run is not self.facts.run:
            self.facts = Facts(run, self.facts)

    @property
    def unsaved(self) -> Run | None:
        """The run to write, or None where the file has everything."""
        if self.origin is None:
            return None
        if self.on_disk is None:
            return self.facts.run
        run = computing.for_file(self.facts.run, self.on_disk)
        return None if _parts(run) == _parts(self.on_disk) else run

    async def save(self) -> None:
        """Writes what the file lacks, in a thread.

        Raises:
            FlowtuiError: It cannot be written.
        """
        async with self._writing:
            await asyncio.to_thread(self.save_now)

    def save_now(self) -> None:
        """Writes what the file lacks.

        Raises:
            FlowtuiError: It cannot be written.
        """
        run = self.unsaved
        if run is None or self.origin is None:
            return
        path = self.path or claim(self.origin, itself=self._own)
        computing.save(path, run)
        self.path, self.on_disk = path, run


def _parts(run: Run) -> dict[tuple[str, int], object]:
    """Every layer by identity: comparing arrays would take long, and a layer is never changed."""
    return {(name, k): id(r) for name, a in run.analyses.items() for k, r in a.layers.items()}
