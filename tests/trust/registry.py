"""Every promise there is, in the order of docs/promises.md."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from tests.trust.promise import Promise

MODULES = (
    "fuzzed_runs",
    "kills",
    "disk_faults",
    "bad_folders",
    "one_key",
    "mutated_entries",
    "fuzzed_sweeps",
    "attacked",
    "terminal_text",
    "processes",
    "far_engines",
)
"""Modules of this folder, each with a tuple PROMISES."""

KINDS = ("faults", "fuzz")


def all_promises() -> tuple[Promise, ...]:
    """All promises."""
    found = [promise for name in MODULES for promise in import_module(f"tests.trust.{name}").PROMISES]
    assert len({promise.name for promise in found} | set(KINDS)) == len(found) + len(KINDS), "a name is used twice"
    return tuple(found)


def chosen(names: Sequence[str]) -> tuple[Promise, ...]:
    """The promises of these names and kinds; all for none.

    Raises:
        KeyError: There is no such promise.
    """
    promises = all_promises()
    known = {promise.name for promise in promises} | set(KINDS)
    for name in names:
        if name not in known:
            raise KeyError(name)
    return tuple(p for p in promises if not names or p.name in names or p.kind in names)
