"""The layer scrubber under everything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from textual import events
from textual.message import Message
from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.scrubber import LABEL_CELLS, scrubber, scrubber_columns

from .frame import Frame
from .panel import Panel


class LayerPicked(Message):
    """A layer was pointed at.

    Attributes:
        layer: Which.
    """

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer


class ScrubberPanel(Panel):
    """Spark line, ruler and marks; a click goes to a layer."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Image share of attention where it is known, else the truncation curve."""
        facts, look = frame.facts, frame.look
        values: NDArray[np.floating] = facts.shares(look.token, look.norm)[:, GROUPS.index("image")]
        label = "image share"
        curve = facts.curve(look.token)
        if "attention" not in facts.run.analyses and curve is not None:
            values, label = curve.kl[: facts.layers], "KL at K"
        return scrubber(frame.ink, width, max(2, height), label, values, look.layer, facts.cliff_layer)

    def on_click(self, event: events.Click) -> None:
        """Goes to the layer under the mouse."""
        if self._frame is None:
            return
        columns = scrubber_columns(self._frame.facts.layers, self.size.width)
        cell = event.x - LABEL_CELLS
        if 0 <= cell < columns.used:
            self.post_message(LayerPicked(columns.item(cell)))
