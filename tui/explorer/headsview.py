"""Every head's share of the image, or its entropy, over all layers; and where the chosen head looks."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from textual import events
from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.bars import percent
from flowtui.tui.draw.cells import beside, fit, heading, line, wrap_first
from flowtui.tui.draw.columns import Columns
from flowtui.tui.draw.fields import fit_cells
from flowtui.tui.draw.heads import LABEL_CELLS, HeadLines, heads_matrix, plan_heads
from flowtui.tui.draw.heatmatrix import matrix_lines
from flowtui.tui.draw.legend import legend
from flowtui.tui.draw.ranking import ranking

from .facts import NORM_NAMES, Facts, Gap
from .frame import Frame
from .headfacts import HeadFacts, head_facts
from .look import Look
from .mapview import note_lines
from .placed import Placed
from .view import LookPicked, ViewPanel

BETWEEN_CELLS = 2
LEGEND_CELLS = 44
"""Heading and legend of the matrix want as much."""
STRONGEST = 12
"""As many heads are listed at most, and stepped through."""
LIST_ROWS = 5
"""Rows that the list of heads takes at least, its heading included, where it stands below the matrix."""
OLD = "This run was made before {} was kept. Make it again with flowtui precompute --force."
TITLES = {
    "image share": ("Image share of attention, each head", "Image share by head", "Image share"),
    "entropy": ("Entropy of attention, each head", "Entropy by head", "Entropy"),
}


class HeadsPanel(ViewPanel):
    """Matrix at the left; map, numbers and list at the right."""

    view = "heads"
    title = "Heads"
    reading = (
        "One column per layer, one row per attention head, the mean over heads on top. The colour is the part of the "
        "head's attention that goes from the answer to the image; turned, it is the entropy of the head's attention "
        "in nats: low where a head looks at few tokens, high where at many. j and k choose a head, whose map stands "
        "beside; Enter opens the map in the main view. Head maps are means over the answer tokens."
    )
    hints = ("view.down", "view.strongest", "view.turn", "view.zoom", "token.previous", "map.mean", "shares.norm")

    def __init__(self) -> None:
        super().__init__()
        self._drawn: tuple[Hashable, object, list[Strip]] = (None, None, [])

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """Some heads down; above the first head is the mean."""
        row = (0 if look.head is None else look.head + 1) + rows
        row = max(0, min(row, facts.run.model.heads))
        return replace(look, head=row - 1 if row else None)

    def turn(self, look: Look, facts: Facts) -> Look:
        """From the image share to the entropy, and back."""
        return look.next_measure()

    def strongest(self, look: Look, facts: Facts) -> Look:
        """The head with most image (by entropy: the most focused), or from there the next in the list."""
        ranked = head_facts(facts).strongest(look.measure, look.token, look.norm)
        if not len(ranked):
            return look
        now = ranked.place(look.layer, look.head)
        best = ranked[0 if now is None or now + 1 >= min(STRONGEST, len(ranked)) else now + 1]
        return replace(look, layer=best.layer, head=best.head)

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The head's map in the main view."""
        return replace(look, view="main", kind="attention")

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Two columns."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        numbers = head_facts(facts)
        left_cells = left_width(width, facts.layers)
        side = width - left_cells - BETWEEN_CELLS
        problem = ""
        if not numbers.has("image share"):
            problem = f"{facts.gap('attention')} Press r to compute it."
        elif not numbers.has(look.measure):
            problem = OLD.format("the entropy of heads")
        if problem:
            return [heading(ink, width, TITLES[look.measure][0]), *note_lines(ink, width, problem, ink.warn, 3)]
        below = self._below(frame, numbers, height)
        left = self._matrix(frame, numbers, left_cells, height - below)
        if below:
            left += [line(ink, left_cells), *self._list(frame, numbers, left_cells, height - len(left) - 1)]
        right = self._right(frame, numbers, side, height, listed=not below)
        self.pictures = tuple(placed.moved(left_cells + BETWEEN_CELLS, 0) for placed in self.pictures)
        gap = line(ink, BETWEEN_CELLS)
        left, right = fit(left, ink, left_cells, height), fit(right, ink, side, height)
        return [Strip.join([a, gap, b]) for a, b in zip(left, right, strict=True)]

    def on_click(self, event: events.Click) -> None:
        """Goes to the head and layer under the mouse."""
        spot = event.get_content_offset(self)
        if self._frame is None or spot is None or spot.y < 1:
            return
        facts, look = self._frame.facts, self._frame.look
        columns, lines = self._plan(self._frame, head_facts(facts))
        there, head = lines.head(spot.y - 1, look.head)
        cell = spot.x - LABEL_CELLS
        if there and 0 <= cell < columns.used:
            self.post_message(LookPicked(replace(look, layer=columns.item(cell), head=head)))

    # Layout

    def _below(self, frame: Frame, numbers: HeadFacts, height: int) -> int:
        """Rows for a list below the matrix, a blank line included; 0 where there is no room for it."""
        # Heading, mean, axis and legend.
        room, one_each, two_each = height - 4, numbers.heads, -(-numbers.heads // 2)
        if frame.painter.graphics.name == "ascii" or one_each <= room:
            two_each = one_each
        return LIST_ROWS + 1 if two_each + LIST_ROWS + 1 <= room else 0

    def _plan(self, frame: Frame, numbers: HeadFacts) -> tuple[Columns, HeadLines]:
        """Where the matrix lies, for the panel's own size."""
        width, height = self.size
        rows = height - self._below(frame, numbers, height)
        return self._lay_out(frame, numbers, left_width(width, frame.facts.layers), rows)

    def _lay_out(self, frame: Frame, numbers: HeadFacts, width: int, rows: int) -> tuple[Columns, HeadLines]:
        columns = Columns(frame.facts.layers, max(1, width - LABEL_CELLS))
        plain = frame.painter.graphics.name == "ascii"
        return columns, plan_heads(numbers.heads, max(2, rows - 3), columns.step, plain=plain)

    # Parts

    def _matrix(self, frame: Frame, numbers: HeadFacts, width: int, rows: int) -> list[Strip]:
        """The matrix in at most `rows` lines, its heading, axis and legend included."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        columns, lines = self._lay_out(frame, numbers, width, rows)
        table = numbers.table(look.measure, look.token, look.norm)
        top = float(np.nanmax(table, initial=0))
        plain = frame.painter.graphics.name == "ascii"
        key = (id(table), columns, lines.halves, plain, look.palette, ink.background)
        if self._drawn[0] != key:
            scaled = table / top if top > 0 else table
            drawn = matrix_lines(ink, scaled[:1], columns, palette=look.palette, plain=plain)
            drawn += matrix_lines(ink, scaled[1:], columns, palette=look.palette, plain=plain, halves=lines.halves)
            self._drawn = (key, table, drawn)
        made = heads_matrix(ink, width, lines, columns, self._drawn[2], look.layer, look.head, facts.cliff_layer)
        notes = [*NORM_NAMES[look.norm]] if look.measure == "image share" else ["low = focused"]
        if not columns.step:
            notes = [*(f"{note}; a column: mean of its layers" for note in notes), *notes]
        token = "all tokens" if look.token is None else f"token {look.token}"
        says = [token]
        if lines.total > lines.shown:
            first, last = (lines.head(row, look.head)[1] or 0 for row in (lines.high, lines.high + lines.shown - 1))
            some = f"heads {first}–{min(lines.heads, last + lines.each) - 1}/{lines.heads}"
            says = [f"{token}, {some}", some]
        title = next((t for t in TITLES[look.measure] if len(t) + len(says[-1]) < width), TITLES[look.measure][-1])
        made.insert(0, heading(ink, width, title, "", says))
        return [*made, legend(ink, width, words(look, top), notes=notes, plain=plain, palette=look.palette)]

    def _right(self, frame: Frame, numbers: HeadFacts, width: int, height: int, *, listed: bool) -> list[Strip]:
        """The chosen head: its map, its numbers, and the list where it is not at the left."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        texts = wrap_first(self._says(facts, numbers, look), width, 3 if height < 16 else 4)
        entries = max(1, min(10, (height - 5) // 3)) if listed else 0
        below = [line(ink, width, (text, ink.text)) for text in texts]
        if listed:
            below += self._list(frame, numbers, width, entries + 1)
        heat = facts.heat("attention", look.layer, look.token, look.head)
        which = "mean over heads" if look.head is None else f"head {look.head}"
        rows = "all tokens" if look.token is None or look.head is not None else f"token {look.token}"
        made = [heading(ink, width, f"Layer {look.layer}, {which}", "", (f"map: {rows}", rows))]
        notes = note_lines(ink, width, heat.note, ink.warn, 3)
        room = max(2, height - 2 - len(below) - len(notes))
        size = fit_cells(frame.painter.ratio, width, room)
        shown = None if isinstance(heat, Gap) else heat
        image = frame.painter.draw(shown, look.opacity, size, ink.background, look.palette)
        left = (width - size[0]) // 2
        made += [beside(ink, width, strip, left) for strip in image]
        self.pictures = (Placed(left, 1, size, frame.painter, shown, look.opacity, ink.background, look.palette),)
        if shown is not None and shown.peak:
            plain = frame.painter.graphics.name == "ascii"
            notes = [
                legend(ink, width, shown.high, notes=(shown.peak, shown.peak_short), plain=plain, palette=look.palette),
                *notes,
            ]
        return [*made, *notes, *below]

    def _says(self, facts: Facts, numbers: HeadFacts, look: Look) -> tuple[str, ...]:
        """The chosen head in words: in full, and shorter."""
        name = f"Layer {look.layer}, " + ("mean over heads" if look.head is None else f"head {look.head}")
        shares = numbers.shares(look.layer, look.head, look.token, look.norm)
        if shares is None:
            there = look.layer not in facts.run.missing("attention")
            return (f"{name}: " + ("this layer has no attention." if there else "not computed yet. Press r."),)
        row = 0 if look.head is None else look.head + 1
        parts = {g: percent(float(s)).strip() for g, s in zip(GROUPS, shares, strict=True)}
        image = parts.pop("image")
        rest = ", ".join(f"{group} {share}" for group, share in parts.items())
        focus = ""
        if numbers.has("entropy"):
            entropy = float(numbers.table("entropy", look.token, look.norm)[row, look.layer])
            focus = f", entropy {entropy:.2f} nats" if np.isfinite(entropy) else ""
        return (
            f"{name}: image {image}, {rest}{focus}",
            f"image {image}, {rest}{focus}",
            f"image {image}, {rest}" if look.measure == "image share" else f"image {image}{focus}",
            f"image {image}{focus}",
        )

    def _list(self, frame: Frame, numbers: HeadFacts, width: int, rows: int) -> list[Strip]:
        """The heads that stand out; the chosen one is marked, and stands last where it is not among them."""
        look, ink = frame.look, frame.ink
        ranked = numbers.strongest(look.measure, look.token, look.norm)
        now = ranked.place(look.layer, look.head)
        shown = list(range(min(rows - 1, STRONGEST, len(ranked))))
        if now is not None and shown and now not in shown:
            shown[-1] = now
        title = "Most image" if look.measure == "image share" else "Most focused"
        top = float(ranked.values.max(initial=0)) or 1
        entries = [
            (
                i,
                (f"layer {ranked[i].layer} head {ranked[i].head}", f"L{ranked[i].layer} H{ranked[i].head}")[width < 28],
                words(look, ranked[i].value),
                ranked[i].value / top,
            )
            for i in shown
        ]
        note = (f"{now + 1} of {len(ranked)}",) if now is not None else (f"of {len(ranked)} heads", f"of {len(ranked)}")
        return [heading(ink, width, title, "", note), *ranking(ink, width, entries, now)]


def left_width(width: int, layers: int) -> int:
    """Cells of the left column: about three fifths, or less where the layers do not fill them."""
    most = width - BETWEEN_CELLS - max(22, min(width * 2 // 5, 64))
    return max(min(most, LEGEND_CELLS), LABEL_CELLS + Columns(layers, max(1, most - LABEL_CELLS)).used)


def words(look: Look, value: float) -> str:
    """A head's number with its unit."""
    return percent(value).strip() if look.measure == "image share" else f"{value:.2f} nats"
