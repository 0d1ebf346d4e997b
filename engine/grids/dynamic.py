"""Layouts of families with grids that follow the image's size."""

from __future__ import annotations

from .seen import Layout

LAYOUTS: dict[str, Layout] = {}
