"""The views beside the main one, in the order of `flowtui.tui.explorer.look.VIEWS`."""

from __future__ import annotations

from .gridview import GridPanel
from .view import ViewPanel

VIEW_PANELS: tuple[type[ViewPanel], ...] = (GridPanel,)
