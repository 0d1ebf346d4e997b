"""How far the work is: bars on stderr where a person watches, nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from flowtui.tui.text import visible

from .output import note

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from flowtui.engine.client import Progress

STAGES = {
    "start": "starting the engine",
    "fit": "looking at what it takes",
    "load": "loading the model",
    "prepare": "answering",
    "wait": "waiting for another process",
    "reconnect": "connecting again",
}


class Reporter:
    """Shows progress and notices; a context manager, because bars must leave the terminal clean."""

    def __init__(self, *, live: bool | None = None) -> None:
        """Args: live: draw bars; None for only where stderr is a terminal."""
        self._live = sys.stderr.isatty() if live is None else live
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._workers: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        if self._live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[layer]}", markup=False),
                TextColumn("{task.fields[left]}", markup=False),
            )
            console = Console(stderr=True, markup=False, emoji=False, highlight=False)
            self._bars = Progress(*columns, console=console, transient=True)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def progress(self, progress: Progress) -> None:
        """Shows one step; a new stage starts a new bar. A line that is lost is said everywhere."""
        stage = progress.analysis or progress.stage
        if stage == "reconnect" and stage != self._stage:
            self.notice(progress.text)
        if self._bars is None:
            self._stage = stage
            return
        if self._task is None or stage != self._stage:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._stage = stage
            self._task = self._bars.add_task(visible(STAGES.get(stage, stage)), total=None, layer="", left="")
        fields: dict[str, Any] = {
            "layer": "" if progress.layer is None else f"layer {progress.layer}",
            "left": "" if progress.seconds_left is None else show_seconds(progress.seconds_left) + " left",
        }
        if progress.fraction is None:
            self._bars.update(self._task, **fields)
        else:
            self._bars.update(self._task, total=1.0, completed=progress.fraction, **fields)

    def items(self, done: int, total: int, rate: float | None, seconds_left: float | None) -> None:
        """Shows how many items of a sweep there are, at what speed, and how long the others will take."""
        if self._bars is None:
            return
        if self._task is None or self._stage != "items":
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._stage, self._task = "items", self._bars.add_task("items", total=total, layer="", left="")
        speed = "" if rate is None else f", {rate:.1f}/s"
        left = "" if seconds_left is None else show_seconds(seconds_left) + " left"
        self._bars.update(self._task, completed=done, layer=f"{done} of {total}{speed}", left=left)

    def worker(self, number: int, items: int) -> None:
        """Shows how many items one of several workers has done, in a line of its own."""
        if self._bars is None:
            return
        if number not in self._workers:
            self._workers[number] = self._bars.add_task(f"worker {number}", total=None, layer="", left="")
        self._bars.update(self._workers[number], layer=f"{items} items")

    def notice(self, text: str) -> None:
        """Says one thing that stays on the screen."""
        if self._bars is None:
            note(text)
        else:
            self._bars.console.print(visible(text))


def show_seconds(seconds: float) -> str:
    """A time as a person reads it: 0.4 s, 12 s, 3:05, 1:02:03."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
