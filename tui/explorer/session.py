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


class Session:
    """A run in a tab of its own.

    Args:
        run: The run.
        path: Its file, written when something was computed; None for a run without a file.
        look: How it is looked at first.
        graphics: The renderer of its maps.
        on_disk: What its file holds; None for all of the run.

    Attributes:
        facts: Numbers of the run as it is now.
        look: What of it is shown.
        painter: Draws its maps.
        path: Its file.
    """

    def __init__(
        self, run: Run, path: Path | None, look: Look, graphics: Graphics, *, on_disk: Run | None = None
    ) -> None:
        self.facts = Facts(run)
        self.look = look
        self.painter = Painter(run, graphics)
        self.path = path
        self.on_disk = on_disk or run
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
        run = computing.for_file(self.facts.run, self.on_disk)
        return None if self.path is None or _parts(run) == _parts(self.on_disk) else run

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
        if run is not None and self.path is not None:
            computing.save(self.path, run)
            self.on_disk = run


def _parts(run: Run) -> dict[tuple[str, int], object]:
    """Every layer by identity: comparing arrays would take long, and a layer is never changed."""
    return {(name, k): id(r) for name, a in run.analyses.items() for k, r in a.layers.items()}
