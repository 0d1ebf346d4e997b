"""Layouts of families with one grid of one size per image."""

from __future__ import annotations

from .seen import Layout

LAYOUTS: dict[str, Layout] = {}
