"""Layouts of families with query tokens, which have no grid of their own."""

from __future__ import annotations

from .seen import Layout

LAYOUTS: dict[str, Layout] = {}
