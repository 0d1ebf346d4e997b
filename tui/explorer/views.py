"""The views beside the main one, in the order of `flowtui.tui.explorer.look.VIEWS`."""

from __future__ import annotations

from importlib import import_module

from .look import View
from .view import ViewPanel

PANELS: dict[View, tuple[str, str]] = {
    "grid": ("gridview", "GridPanel"),
    "heads": ("headsview", "HeadsPanel"),
    "tokens": ("tokensview", "TokensPanel"),
    "flow": ("flowview", "FlowPanel"),
    "matrix": ("matrixview", "MatrixPanel"),
    "truncation": ("truncationview", "TruncationPanel"),
    "lens": ("lensview", "LensPanel"),
    "compare": ("compareview", "ComparePanel"),
}
"""Module and class of each. They are imported when they are first shown: the first screen must not wait for them."""


def panel_of(view: View) -> type[ViewPanel]:
    """A view's panel."""
    module, name = PANELS[view]
    found: type[ViewPanel] = getattr(import_module(f".{module}", __package__), name)
    return found


def load_views() -> None:
    """Imports all of them."""
    for view in PANELS:
        panel_of(view)
