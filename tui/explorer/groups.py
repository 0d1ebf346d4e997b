"""The token groups' shares of the answer's attention."""

from __future__ import annotations

from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.bars import group_bars
from flowtui.tui.draw.cells import heading

from .facts import NORM_NAMES
from .frame import Frame
from .mapview import note_lines
from .panel import Panel


class GroupsPanel(Panel):
    """A bar and a small curve per group."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Shares at the current layer, and over all layers."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        detail = f"layer {look.layer}/{facts.layers - 1}"
        made = [heading(ink, width, "Attention share", detail, NORM_NAMES[look.norm])]
        gap = facts.gap("attention")
        rows = max(1, (height - 1) // len(GROUPS))
        made += group_bars(ink, width, rows, GROUPS, facts.shares(look.token, look.norm), look.layer)
        if gap:
            made[-1:] = note_lines(ink, width, f"{gap} Press r.", ink.warn, 1) if rows > 1 else made[-1:]
            if "attention" not in facts.run.analyses:
                made[1:] = note_lines(ink, width, f"{gap} Press r to compute it.", ink.warn, 2)
        return made
