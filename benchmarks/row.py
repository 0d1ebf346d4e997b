"""One measured number beside the number it has to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        name: What is measured.
        value: The number.
        unit: Its unit.
        goal: "<= 3", ">= 10", or None where nothing was promised.
        peer: What it is measured against, a package's name where it is one.
        peer_version: Its version, or None.
    """

    name: str
    value: float
    unit: str
    goal: str | None = None
    peer: str | None = None
    peer_version: str | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        sign, bound = self.goal.split()
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "goal": self.goal,
            "holds": self.holds,
            "peer": self.peer,
            "peer_version": self.peer_version,
        }


def against(package: str) -> dict[str, str]:
    """The peer's fields of a row: a package and its installed version."""
    return {"peer": package, "peer_version": version(package)}


HEADER = f"{'':72} {'value':>10} {'unit':17} {'goal':9} {'holds':5}  peer"


def line(row: Row) -> str:
    """A row as text."""
    holds = {True: "yes", False: "NO", None: ""}[row.holds]
    value = f"{row.value:10.2g}" if abs(row.value) < 0.01 else f"{row.value:10.2f}"
    peer = " ".join(part for part in (row.peer, row.peer_version) if part)
    return f"{row.name:72} {value} {row.unit:17} {row.goal or '':9} {holds:5}  {peer}"


def missed(rows: Sequence[Row]) -> list[Row]:
    """Rows that do not reach their goal."""
    return [row for row in rows if row.holds is False]
