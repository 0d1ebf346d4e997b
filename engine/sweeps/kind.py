"""Telling a sweep from a run, without loading what either needs."""

from __future__ import annotations

FORMAT = "flowtui-sweep"


def is_sweep(plain: object) -> bool:
    """Whether plain data claims to be a sweep, and not a run."""
    return isinstance(plain, dict) and plain.get("format") == FORMAT
