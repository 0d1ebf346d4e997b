"""The table of all families with their measured errors, for the screen and for docs/models.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.families import OTHERS, Family
from flowtui.engine.inputs import prepare
from flowtui.engine.spec import ANALYSES
from flowtui.errors import FlowtuiError
from tests.engine.families.cases import FAMILIES, SPEC, family_of, load
from tests.engine.families.oracle import TOLERANCE, Outcome, measure
from tests.engine.families.plain import Plain

DOCUMENT = Path(__file__).parents[3] / "docs" / "models.md"
BEGIN, END = "<!-- table: python -m tests.engine.families --write -->", "<!-- end of table -->"
"""What stands between these in the document is written by the command, the rest by hand."""


@dataclass(frozen=True, slots=True)
class Row:
    """One family.

    Attributes:
        family: From the registry.
        outcomes: Analysis -> result of each of its models (a family may have variants); empty where none was measured.
        missing: Why it was not measured, or "".
    """

    family: Family
    outcomes: dict[str, tuple[Outcome, ...]]
    missing: str = ""

    @property
    def errors(self) -> list[float]:
        return [o.error for each in self.outcomes.values() for o in each if o.error is not None]

    @property
    def analyses(self) -> str:
        """Which analyses there are, in words."""
        if self.family.refused:
            return "refused"
        if not self.outcomes:
            return "not measured"
        out = {name: [o.refused for o in each if o.refused] for name, each in self.outcomes.items()}
        refused = [f"{name} ({reasons[0].rstrip('.')})" for name, reasons in out.items() if reasons]
        return "all but " + ", ".join(refused) if refused else "all"

    @property
    def error(self) -> str:
        return f"{max(self.errors):.0e}" if self.errors else "-"


def measure_all(report: Callable[[str], None]) -> list[Row]:
    """Measures every family of the registry, each in a folder of its own that is gone afterwards."""
    rows = []
    for family in KNOWN.values():
        names = [name for name in FAMILIES if family_of(name) == family.model_type]
        found: dict[str, tuple[Outcome, ...]] = {}
        missing = ""
        for name in names:
            report(name)
            try:
                for analysis, outcome in _measure(name):
                    found[analysis] = (*found.get(analysis, ()), outcome)
            except pytest.skip.Exception as skipped:
                missing = str(skipped)
        rows.append(Row(family, found, missing))
    return rows


def _measure(name: str) -> Iterator[tuple[str, Outcome]]:
    with TemporaryDirectory() as folder:
        loaded = load(name, Path(folder))
        plain = Plain(loaded, prepare(loaded, SPEC))
        for analysis in ANALYSES:
            yield analysis, measure(plain, analysis)


def as_text(rows: Sequence[Row]) -> str:
    """For a screen: one line a family, each analysis' error, then the grid."""
    width = max(len(row.family.model_type) for row in rows)
    lines = [" ".join([" " * width, *(f"{name[:8]:>8}" for name in ANALYSES), " grid"])]
    for row in rows:
        said = f"refused: {row.family.refused}" if row.family.refused else row.family.grid
        cells = [_cell(row, name) for name in ANALYSES]
        lines.append(" ".join([f"{row.family.model_type:<{width}}", *(f"{cell:>8}" for cell in cells), f" {said}"]))
        lines += [f"{'':{width}} not measured here: {row.missing}"] if row.missing else []
    errors = [error for row in rows for error in row.errors]
    lines.append(f"largest error {max(errors):.1e}, tolerance {TOLERANCE:.0e}, {len(errors)} analyses measured")
    return "\n".join(lines) + "\n"


def _cell(row: Row, analysis: str) -> str:
    outcomes = row.outcomes.get(analysis, ())
    if not outcomes:
        return "-"
    errors = [o.error for o in outcomes if o.error is not None]
    return f"{max(errors):.0e}" if len(errors) == len(outcomes) else "refused"


def as_markdown(rows: Sequence[Row]) -> str:
    """The table of docs/models.md."""
    head = (
        "| family | models | analyses | error | grid of the image tokens | what to know |",
        "| --- | --- | --- | --- | --- | --- |",
    )
    others = f"| {OTHERS.model_type} | {OTHERS.title} | as they pass | - | {OTHERS.grid} | {OTHERS.note} |"
    return "\n".join([*head, *(line_of(row) for row in rows), others]) + "\n"


def write_document(rows: Sequence[Row]) -> None:
    """Puts the table into docs/models.md."""
    before, rest = DOCUMENT.read_text().split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{as_markdown(rows)}{END}{rest.split(END)[1]}")


def line_of(row: Row) -> str:
    """One family's line of the table."""
    family = row.family
    know = f"Refused: {family.refused}." if family.refused else family.note
    cells = (f"`{family.model_type}`", family.title, row.analyses, row.error, family.grid, know)
    return f"| {' | '.join(cells)} |"


def check(rows: Sequence[Row]) -> None:
    """Raises where an error is too large.

    Raises:
        FlowtuiError: With the families' names.
    """
    bad = [row.family.model_type for row in rows if any(not error <= TOLERANCE for error in row.errors)]
    if bad:
        raise FlowtuiError(f"These differ from the oracle by more than {TOLERANCE:.0e}: {', '.join(bad)}.")
