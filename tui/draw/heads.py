"""Layers by heads: a matrix with the mean over heads on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.strip import Strip

from .cells import Part, line
from .columns import Columns, place_labels, wanted_labels
from .heatmatrix import mark
from .ink import Ink

LABEL_CELLS = 6
"""A row's name and a blank: "mean " or the head's number."""


@dataclass(frozen=True, slots=True)
class HeadLines:
    """How the heads are laid out on lines.

    Attributes:
        heads: H.
        halves: Two heads in one line.
        high: Lines per head, 1 where heads share lines.
        shown: Lines of heads on screen; more are scrolled.
    """

    heads: int
    halves: bool
    high: int
    shown: int

    @property
    def each(self) -> int:
        """Heads in one line."""
        return 2 if self.halves else 1

    @property
    def total(self) -> int:
        """Lines of all heads, as many as there would be unscrolled."""
        return -(-self.heads // self.each) * self.high

    def first(self, head: int | None) -> int:
        """The first line of heads on screen, so that a head is near the middle."""
        line_ = 0 if head is None else head // self.each * self.high
        return max(0, min(line_ - self.shown // 2, self.total - self.shown))

    def head(self, row: int, chosen: int | None) -> tuple[bool, int | None]:
        """What lies at a line of the panel: whether there is a head, and which; None for the mean."""
        if row < self.high:
            return True, None
        head = (self.first(chosen) + row - self.high) // self.high * self.each
        return row < self.high + self.shown and head < self.heads, head


def plan_heads(heads: int, rows: int, step: int, *, plain: bool) -> HeadLines:
    """Lays heads out on lines.

    Args:
        heads: H.
        rows: Lines there are, the mean's own included.
        step: Cells per layer; heads are drawn about as high as layers are wide.
        plain: Whether glyphs are drawn, which two heads cannot share.
    """
    high = max(1, min(rows // (heads + 1), round(step / 2), 4))
    halves = heads + 1 > rows and not plain
    lines = -(-heads // (2 if halves else 1)) * high
    return HeadLines(heads, halves, high, max(1, min(lines, rows - high)))


def heads_matrix(
    ink: Ink,
    width: int,
    lines: HeadLines,
    columns: Columns,
    drawn: Sequence[Strip],
    layer: int,
    head: int | None,
    cliff: int | None,
) -> list[Strip]:
    """Puts names, marks and the axis around a matrix.

    Args:
        ink: Colours.
        width: Cells.
        lines: The layout.
        columns: Of the layers.
        drawn: The mean's line and then every line of heads, each once; of `columns.used` cells.
        layer: Current layer.
        head: Chosen head, None for the mean.
        cliff: First layer that needs no image, or None.

    Returns:
        The mean, the heads on screen, and the axis.
    """
    made = []
    first, start, end = lines.first(head), columns.start(layer), columns.end(layer)
    on_screen = [-1] * lines.high + [(first + i) // lines.high for i in range(lines.shown)]
    for i, row in enumerate(on_screen):
        low = row * lines.each
        chosen = head is None if row < 0 else head is not None and low <= head < low + lines.each
        name = "mean" if row < 0 else str(head) if chosen else str(low)
        named = i == 0 or on_screen[i - 1] != row
        strip = mark(ink, drawn[row + 1], start, end) if chosen else drawn[row + 1]
        tone = ink.mark if chosen and named else ink.text if row < 0 else ink.dim
        label: list[Part] = [(f"{name if named else '':>{LABEL_CELLS - 1}}", tone), (" ", ink.text)]
        made.append(Strip.join([line(ink, LABEL_CELLS, *label), strip]).adjust_cell_length(width, ink.text))
    made.append(layer_axis(ink, width, columns, LABEL_CELLS, layer, cliff))
    return made


def layer_axis(ink: Ink, width: int, columns: Columns, left: int, layer: int, cliff: int | None) -> Strip:
    """Layer numbers below columns that start at cell `left`, the current one marked."""
    cells_each = columns.used / columns.count
    name: list[Part] = [(f"{'layer'[:left]:<{left}}", ink.dim)]
    at = 0
    for cell, label in place_labels(columns, wanted_labels(columns.count, cells_each, (layer, cliff)), columns.used):
        tone = ink.mark if label == str(layer) else ink.cliff if label == str(cliff) else ink.dim
        name += [(" " * (cell - at), ink.text), (label, tone)]
        at = cell + len(label)
    return line(ink, width, *name)
