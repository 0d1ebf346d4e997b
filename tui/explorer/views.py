"""The views beside the main one, in the order of `flowtui.tui.explorer.look.VIEWS`."""

from __future__ import annotations

from .compareview import ComparePanel
from .flowview import FlowPanel
from .gridview import GridPanel
from .headsview import HeadsPanel
from .lensview import LensPanel
from .matrixview import MatrixPanel
from .tokensview import TokensPanel
from .truncationview import TruncationPanel
from .view import ViewPanel

VIEW_PANELS: tuple[type[ViewPanel], ...] = (
    GridPanel,
    HeadsPanel,
    TokensPanel,
    FlowPanel,
    MatrixPanel,
    TruncationPanel,
    LensPanel,
    ComparePanel,
)
