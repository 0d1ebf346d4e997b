"""A sweep that is open, and what is found of it meanwhile: all that the runs' side knows of sweeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from flowtui.tui.text import visible

from .sweeplook import SweepLook

if TYPE_CHECKING:
    from .sweepfacts import SweepFacts


@dataclass(eq=False)
class OpenSweep:
    """A sweep that is open.

    Attributes:
        facts: Its numbers.
        path: Its file, or None.
        look: What is shown of it.
        problems: Why a curve has no cliff, by metric and way of cutting.
        finding: What is being looked for.
        to_cliff: Whether to go to the cliff as soon as it is found.
    """

    facts: SweepFacts
    path: Path | None
    look: SweepLook = field(default_factory=SweepLook)
    problems: dict[tuple[int, int], str] = field(default_factory=dict)
    finding: set[tuple[int, int]] = field(default_factory=set)
    to_cliff: bool = False

    @property
    def title(self) -> str:
        """The file's name, safe to show, or ""."""
        return "" if self.path is None else visible(self.path.name)


class CurveFound(Message):
    """A search for a cliff is over.

    Attributes:
        facts: Of the sweep.
        key: Metric and way of cutting.
        problem: Why nothing was found, or "".
    """

    def __init__(self, facts: SweepFacts, key: tuple[int, int], problem: str) -> None:
        super().__init__()
        self.facts = facts
        self.key = key
        self.problem = problem
