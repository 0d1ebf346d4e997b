"""What each layer would say: at the answer's tokens, and at the image's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from textual import events
from textual.strip import Strip

from flowtui.tui.draw.cells import Part, fit, heading, line, width_of
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.lenstable import LABEL_CELLS, plan_table
from flowtui.tui.draw.spark import EIGHTHS_UP

from .facts import Facts
from .frame import Frame
from .lenscells import answer_table, current_cell
from .lensfacts import LensFacts, lens_facts
from .lenspatches import current_patch, patch_of, place_in, plan_words, word_map
from .look import Look
from .mapview import note_lines
from .view import LookPicked, ViewPanel

BETWEEN_CELLS = 2
MIN_LEFT_CELLS = 30
STRONGEST = 12
GRIDLESS_CELLS = 8
"""Cells per token where the image tokens have no grid."""
NO_PATCHES = "This run's lens did not look at the image tokens. Make it again with flowtui precompute --force."


class LensPanel(ViewPanel):
    """Table and the current cell, or the words of the image tokens."""

    view = "lens"
    title = "Logit lens"
    reading = (
        "What the model would say if it stopped after a layer: the layer's output goes through the final norm and the "
        "word list. One row per layer, one column per answer token; the mark before a word and its shade tell its "
        "probability, green is the answer's own token, #4 says that the answer's token comes fourth there. j and k "
        "move through the layers, s goes to the layer from which on the answer's token stays first. Turned, the "
        "likeliest word at each image token: j and k move by one, J and K by a row."
    )
    hints = ("view.turn", "view.strongest", "token.previous", "view.down", "view.zoom")

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """Some layers deeper; among the image tokens the next one, or far: the next row."""
        if not look.patches:
            return look.at_layer(look.layer + rows, facts.layers)
        count = len(facts.run.tokens.image_positions)
        if not count:
            return look
        grid, _ = lens_facts(facts).grid_at(patch_of(look), self._across())
        step = rows if abs(rows) == 1 else grid.shape[1] * int(np.sign(rows))
        moved = patch_of(look) + step
        return replace(look, patch=moved) if 0 <= moved < count else look

    def turn(self, look: Look, facts: Facts) -> Look:
        """Between the answer's tokens and the image's."""
        return replace(look, patches=not look.patches)

    def strongest(self, look: Look, facts: Facts) -> Look:
        """To the layer where the answer settles; among the image tokens to the surest, then the next."""
        numbers = lens_facts(facts)
        if not look.patches:
            tokens = range(facts.tokens) if look.token is None else [look.token]
            settled = [numbers.settled(t) for t in tokens]
            known = [layer for layer in settled if layer is not None]
            return look.at_layer(max(known), facts.layers) if known and len(known) == len(settled) else look
        patches = numbers.patches(look.layer)
        if patches is None or not patches.words:
            return look
        ranked = np.argsort(-patches.probs, kind="stable")[:STRONGEST].tolist()
        now = ranked.index(look.patch) if look.patch in ranked else len(ranked) - 1
        return replace(look, patch=int(ranked[(now + 1) % len(ranked)]))

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The layer in the main view, with the image token under its cursor."""
        return replace(look, view="main", cell=patch_of(look) if look.patches else look.cell)

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Two columns over a legend."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        numbers = lens_facts(facts)
        title = "Logit lens: words of the image" if look.patches else "Logit lens: what each layer would say"
        problem = _problem(facts, numbers, look)
        if problem:
            top = heading(ink, width, title, f"layer {look.layer}/{facts.layers - 1}")
            return [top, *note_lines(ink, width, problem, ink.warn, 3)]
        left_cells = self._left(facts, numbers, look, width, height)
        side = width - left_cells - BETWEEN_CELLS
        if look.patches:
            patches = numbers.patches(look.layer)
            assert patches is not None
            left = word_map(frame, numbers, patches, left_cells, height - 1, self._across())
            right = current_patch(frame, numbers, patches, side, height - 1, self._across())
        else:
            left = answer_table(frame, numbers, left_cells, height - 1)
            right = current_cell(frame, numbers, side, height - 1)
        left, right = fit(left, ink, left_cells, height - 1), fit(right, ink, side, height - 1)
        gap = line(ink, BETWEEN_CELLS)
        made = [Strip.join([a, gap, b]) for a, b in zip(left, right, strict=True)]
        return [*made, legend(ink, width, patches=look.patches)]

    def on_click(self, event: events.Click) -> None:
        """Goes to the layer and token, or to the image token, under the mouse."""
        spot = event.get_content_offset(self)
        if self._frame is None or spot is None:
            return
        facts, look = self._frame.facts, self._frame.look
        numbers = lens_facts(facts)
        width, height = self.size
        left = self._left(facts, numbers, look, width, height)
        if _problem(facts, numbers, look) or spot.x >= left:
            return
        if look.patches:
            grid, indices = plan_words(numbers, look, left, height - 2, self._across())
            top, first = grid.first(place_in(indices, look) or (0, 0))
            row, col = top + (spot.y - 1) // grid.high, first + spot.x // grid.cell
            if spot.y >= 1 and row < grid.rows and col < grid.cols and indices[row, col] >= 0:
                self.post_message(LookPicked(replace(look, patch=int(indices[row, col]))))
            return
        table = plan_table(facts.layers, facts.tokens, left, height - 3)
        row, col = (spot.y - 2) // table.per, (spot.x - LABEL_CELLS) // table.cell
        if spot.y >= 2 and row < table.rows:
            token = table.first_token(look.token) + col if 0 <= col < table.across else look.token
            picked = look.at_layer(table.first_layer(look.layer) + row, facts.layers)
            self.post_message(LookPicked(replace(picked, token=token)))

    # Layout

    def _across(self) -> int:
        """Columns for image tokens without a grid."""
        return max(1, (self.size.width - _side(self.size.width) - BETWEEN_CELLS) // GRIDLESS_CELLS)

    def _left(self, facts: Facts, numbers: LensFacts, look: Look, width: int, height: int) -> int:
        """Cells of the left column: what it needs, so that the rest is the side's."""
        most = max(1, width - _side(width) - BETWEEN_CELLS)
        if look.patches:
            grid, _ = plan_words(numbers, look, most, height - 2, self._across())
            used = grid.cell * grid.shown[1]
        else:
            used = plan_table(facts.layers, facts.tokens, most, height - 3).used
        return max(min(most, MIN_LEFT_CELLS), min(most, used))


def legend(ink: Ink, width: int, *, patches: bool) -> Strip:
    """Colours and marks, as much as fits."""
    green, other = ink.groups[3], ink.groups[1 if patches else 0]
    parts: list[Part] = [
        ("■ ", green),
        ("a word of the answer " if patches else "the answer's token ", ink.dim),
        ("■ ", other),
        ("another  ", ink.dim),
    ]
    more: list[list[Part]] = [
        [("probability 0 ", ink.dim), (EIGHTHS_UP[1:], ink.text), (" 100 %  ", ink.dim)],
        [] if patches else [("#4 ", ink.text), ("answer 4th", ink.dim)],
    ]
    if patches:
        more[0] = [("shade: probability", ink.dim)]
    for extra in more:
        if width_of([*parts, *extra]) <= width:
            parts += extra
    return line(ink, width, *parts)


def _side(width: int) -> int:
    """Cells of the side column at least."""
    return max(24, min(width * 3 // 10, 40))


def _problem(facts: Facts, numbers: LensFacts, look: Look) -> str:
    """Why there is nothing to show, or ""."""
    if not numbers.there:
        return f"{facts.gap('lens')} Press r to compute it."
    if not look.patches:
        return "" if facts.tokens else "The answer is empty: there is no answer token to look at."
    if look.layer in facts.run.missing("lens"):
        return f"{facts.gap('lens')} Press r to compute what is missing."
    patches = numbers.patches(look.layer)
    return NO_PATCHES if patches is None or not patches.words else ""
