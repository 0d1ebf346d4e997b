"""Layouts of families with images cut into tiles, each with its own grid."""

from __future__ import annotations

from .seen import Layout

LAYOUTS: dict[str, Layout] = {}
