"""Keys of the cursor over the map: while it is there, arrows move it, and not the layer."""

from __future__ import annotations

from dataclasses import replace

from .placing import Placing
from .spot import start


class Inspecting(Placing):
    """The cursor comes with i, moves by cells, and goes with i or Esc."""

    def action_inspect(self) -> None:
        """Puts the cursor on the map's peak, or takes it away."""
        if self.leave_cell():
            return
        look = start(self.facts, self._painter.cells, self.look)
        if look is None:
            self.notify("The image tokens of this model have no place of their own in the image.")
        else:
            self.look_at(look)

    @property
    def inspects(self) -> bool:
        """Whether the cursor is on screen."""
        return self.look.view == "main" and self.look.cell is not None

    def leave_cell(self) -> bool:
        """Takes the cursor away; False where there was none."""
        if not self.inspects:
            return False
        self.look_at(replace(self.look, cell=None))
        return True

    def action_step(self, layers: int) -> None:
        """A cell to the right or left while the cursor is there; far steps, and others, are layers."""
        if self.inspects and abs(layers) == 1:
            self._move(0, layers)
        else:
            super().action_step(layers)

    def action_row(self, rows: int) -> None:
        """A cell down or up while the cursor is there."""
        if self.inspects:
            self._move(rows, 0)
        else:
            super().action_row(rows)

    def _move(self, down: int, right: int) -> None:
        cell = self.look.cell
        if cell is not None:
            self.look_at(replace(self.look, cell=self._painter.cells.beside(cell, down, right)))
