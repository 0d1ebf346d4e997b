"""What the last full run of each promise gave: kept in docs/promises.json, shown in docs/promises.md."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.trust.promise import Promise

DOCS = Path(__file__).resolve().parents[2] / "docs"

HEAD = """\
# What is promised, and how often it was tried

    make faults                             # kills, full disks, broken files: every promise of that kind in full
    make fuzz                               # hostile and damaged files in full
    python -m tests.trust                   # a few cases of each, as in `make test`
    python -m tests.trust NAME --full       # one promise in full; its row below is written anew
    python -m tests.trust NAME --seed N --case I    # one case again, as a failure prints it

Written by `python -m tests.trust`; not to be edited. A row shows what the last full run counted, whatever that was.
"""


def read(docs: Path = DOCS) -> dict[str, Any]:
    """The last full run of each promise, by name."""
    path = docs / "promises.json"
    return json.loads(path.read_text()) if path.exists() else {}


def record(promises: Iterable[Promise], name: str, row: Mapping[str, Any], docs: Path = DOCS) -> None:
    """Keeps a full run and writes both files anew."""
    # Full runs take long and go side by side: what another has written meanwhile stays.
    with (docs / "promises.md").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        rows = read(docs) | {name: dict(row)}
        (docs / "promises.json").write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")
        (docs / "promises.md").write_text(document(promises, rows))


def rewrite(promises: Iterable[Promise], docs: Path = DOCS) -> None:
    """Writes the document anew from what is kept."""
    (docs / "promises.md").write_text(document(promises, read(docs)))


def document(promises: Iterable[Promise], rows: Mapping[str, Any]) -> str:
    """The text of docs/promises.md."""
    promises = tuple(promises)
    parts = [HEAD]
    for kind, title in (("faults", "Machines that fail"), ("fuzz", "Files and text from strangers")):
        parts.append(f"\n## {title}\n\n| promise | last full run | command |\n| --- | --- | --- |\n")
        parts.extend(_row(p, rows.get(p.name)) for p in promises if p.kind == kind)
    return "".join(parts)


def _row(promise: Promise, row: Mapping[str, Any] | None) -> str:
    if row is None:
        found = "not run in full yet"
    else:
        found = ", ".join(f"{value:,} {what}" for what, value in row["counts"].items())
        broken = f"**broken {row['failures']:,} times**; " if row["failures"] else ""
        short = "" if row["complete"] else "; stopped before its end"
        found = f"{broken}{found}{short} ({row['date']}, {_duration(row['seconds'])}, seed {row['seed']})"
    return f"| {promise.sentence} | {found} | `{promise.command}` |\n"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
