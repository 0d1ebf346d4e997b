"""Where a panel has drawn a map, for those who can draw it in pixels over the same cells."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

from flowtui.tui.draw.ink import Rgb

from .facts import Heat
from .painter import Painter


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One map over the images of a run.

    Attributes:
        left, top: Its first cell, in the panel or on the screen.
        size: (width, height) in cells.
        painter: Of its run.
        heat: The map; None for the photos alone.
        opacity: Percent of heat over the photo.
        background: Colour of the panel.
        palette: Colour map of the heat.
        cell: Image token with a box around it, or None.
    """

    left: int
    top: int
    size: tuple[int, int]
    painter: Painter
    heat: Heat | None
    opacity: int
    background: Rgb
    palette: str = "inferno"
    cell: int | None = None

    def moved(self, right: int, down: int) -> Placed:
        """The same elsewhere."""
        return replace(self, left=self.left + right, top=self.top + down)

    @property
    def shown_opacity(self) -> int:
        """The opacity, 0 where there is no heat."""
        return self.opacity if self.heat is not None else 0

    @property
    def photo(self) -> Hashable:
        """What the photo looks like under the heat. Two with the same one need it only once."""
        return (id(self.painter), self.size, self.shown_opacity, self.background)

    @property
    def place(self) -> Hashable:
        """Where it is, and which photo lies there: as long as this stays, only the heat changes."""
        return (self.left, self.top, self.photo)

    @property
    def content(self) -> Hashable:
        """Everything that can be seen of it."""
        heat = id(self.heat.values) if self.heat is not None and self.opacity else None
        return (self.place, heat, self.palette, self.cell)
