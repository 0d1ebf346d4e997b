"""Who looks at what in one layer: attention of all tokens in blocks by group (the paper's Figure 2B)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.blockmatrix import heat, lay_out, names_across, names_down
from flowtui.tui.draw.cells import Part, heading, line, wrap
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.legend import legend

from .facts import Facts
from .frame import Frame
from .look import Look
from .mapview import note_lines
from .matrixfacts import Matrix, matrix_facts
from .view import ViewPanel, next_strongest

NAME_CELLS = 7
LOW = 1e-4
"""Lower end of the logarithmic scale; its upper end is 1, so that layers compare."""
MAX_KEPT = 128
MIN_ROWS = 2


class MatrixPanel(ViewPanel):
    """Heat of query cells by key cells, and a table of the groups."""

    view = "matrix"
    title = "Who looks at what"
    reading = (
        "Every token's attention, mean over heads. A row is who looks, a column what is looked at; tokens stand in "
        "cells in their order, and lines part the groups. A token sees only itself and what stands before it, so the "
        "upper right is empty. The table gives the part of a group's attention that goes to each group: rows sum to "
        "100 %. t turns from the log scale to a linear one, s goes to the layer where the answer looks most at the "
        "image."
    )
    hints = ("view.turn", "view.strongest", "map.palette", "layer.cliff", "layer.play")

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[Hashable, tuple[object, list[Strip], float]] = OrderedDict()

    def turn(self, look: Look, facts: Facts) -> Look:
        """The other scale."""
        return replace(look, linear=not look.linear)

    def strongest(self, look: Look, facts: Facts) -> Look:
        """To the layer where the answer looks most at the image, or from there to the next."""
        ranked = matrix_facts(facts).ranked()
        return look.at_layer(next_strongest(ranked, look.layer), facts.layers) if ranked else look

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The current layer in the main view."""
        return replace(look, view="main")

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Heading, heat with names, legend; the table beside it."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        scale = "linear scale" if look.linear else "log scale"
        detail = f"layer {look.layer}/{facts.layers - 1}"
        made = [heading(ink, width, self.title, detail, (f"attention, mean over heads, {scale}", scale))]
        matrix = matrix_facts(facts).at(look.layer)
        if matrix is None:
            gap = facts.gap("matrix")
            return made + note_lines(ink, width, f"{gap} Press r to compute it.", ink.warn, max(1, height - 1))
        if not matrix.share.any():
            note = "This layer has no attention: it mixes tokens another way."
            return made + note_lines(ink, width, note, ink.warn, max(1, height - 1))
        table_cells = 36 if width >= 74 else 27 if width >= 50 else 0
        heat_cells = max(1, width - table_cells - NAME_CELLS - (2 if table_cells else 0))
        rows = max(MIN_ROWS, height - 3)
        strips, high = self._heat(frame, matrix, heat_cells, rows)
        side = self._side(frame, matrix, table_cells, len(strips) + 1) if table_cells else []
        for i, strip in enumerate(strips):
            made.append(_beside(ink, width, strip, side[i] if i < len(side) else None))
        ends = ("≤0.01 %", "100 %") if not look.linear else ("0", f"{100 * high:.3g} %")
        plain = frame.painter.graphics.name == "ascii"
        notes = ("of a row's attention, per cell", "of a row's attention", "per row")
        made.append(legend(ink, width, ends[1], low=ends[0], notes=notes, plain=plain, palette=look.palette))
        return made

    def _heat(self, frame: Frame, matrix: Matrix, cells: int, rows: int) -> tuple[list[Strip], float]:
        """Names, heat and the names below it, and the largest value shown."""
        ink, look = frame.ink, frame.look
        plain = frame.painter.graphics.name == "ascii"
        # A layer is known by the identity of its result, which is kept beside the strips and so stays unique.
        key = (id(matrix.source), cells, rows, look.linear, look.palette, ink.background, plain)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][1], self._kept[key][2]
        names = [GROUPS[group] for group, _ in matrix.runs]
        counts = [count for _, count in matrix.runs]
        pixels = 1 if plain else 2
        down = lay_out(counts, [pixels] * len(counts), rows * pixels)
        across = lay_out(counts, [len(name) for name in names], cells)
        weights = np.maximum(matrix.tokens.astype(np.float64), 1e-9)
        values = down.pooling(counts, weights) @ matrix.share @ across.pooling(counts, None).T
        high = float(values.max())
        strips = heat(ink, scaled(values, high, linear=look.linear), down, across, palette=look.palette, plain=plain)
        tones = {name: ink.groups[i] for i, name in enumerate(GROUPS)}
        made = []
        for name, strip in zip(names_down(down, names, len(strips), pixels), strips, strict=True):
            label = line(ink, NAME_CELLS, (f"{name:<{NAME_CELLS}}", tones.get(name, ink.dim)))
            made.append(Strip.join([label, strip]))
        below = names_across(ink, across, [(name, tones[name]) for name in names])
        made.append(Strip.join([line(ink, NAME_CELLS, ("", ink.text)), below]))
        self._kept[key] = (matrix.source, made, high)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return made, high

    def _side(self, frame: Frame, matrix: Matrix, width: int, rows: int) -> list[Strip]:
        """The table of groups, and how to read it where there is room."""
        ink = frame.ink
        wide = width >= 36
        cell = 7 if wide else 5
        short = GROUPS if wide else tuple(name if len(name) <= 4 else name[:4] for name in GROUPS)
        header: list[Part] = [(f"{'% to':<{width - 4 * cell}}", ink.dim)]
        header += [(f"{name:>{cell}}", ink.groups[i]) for i, name in enumerate(short)]
        made = [line(ink, width, *header)]
        for i, name in enumerate(GROUPS):
            parts: list[Part] = [(f"{name:<{width - 4 * cell}}", ink.groups[i])]
            for value in matrix.blocks[i]:
                text = "·" if not np.isfinite(value) else f"{100 * value:.1f}" if wide else f"{100 * value:.0f}"
                parts.append((f"{text:>{cell}}", ink.strong if np.isfinite(value) and value >= 0.005 else ink.dim))
            made.append(line(ink, width, *parts))
        size = f"{int(matrix.tokens.min())} to {int(matrix.tokens.max())}"
        texts = (
            "Row: who looks. Column: what is looked at. A row of the table sums to 100 %.",
            f"{len(matrix.tokens)} cells of {size} tokens each. What comes later cannot be seen.",
        )
        for text in texts:
            lines = wrap(text, width, 6)
            if len(made) + 1 + len(lines) <= rows:
                made.append(line(ink, width, ("", ink.text)))
                made += [line(ink, width, (words, ink.dim)) for words in lines]
        return made


def scaled(values: NDArray[np.floating], high: float, *, linear: bool) -> NDArray[np.float64]:
    """Shares as heat in 0..1: over the largest one, or by powers of ten from `LOW` to 1."""
    if linear:
        return np.asarray(values / high if high > 0 else values, dtype=np.float64)
    with np.errstate(divide="ignore"):
        made = 1 - np.log10(np.maximum(values, 0)) / np.log10(LOW)
    return np.asarray(np.clip(made, 0, 1), dtype=np.float64)


def _beside(ink: Ink, width: int, strip: Strip, side: Strip | None) -> Strip:
    if side is None:
        return strip.adjust_cell_length(width, ink.text)
    return Strip.join([strip, line(ink, 2, ("", ink.text)), side]).adjust_cell_length(width, ink.text)
