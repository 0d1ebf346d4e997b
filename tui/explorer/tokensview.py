"""The whole sequence, and what of it the answer attends to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from textual import events
from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.tui.draw.bars import percent
from flowtui.tui.draw.cells import Part, clip, heading, line, width_of, wrap_first
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.ranking import curve_line
from flowtui.tui.draw.spark import EIGHTHS_UP
from flowtui.tui.draw.tokenstrip import CURRENT, Lines, chip_at, lay_out, strip_lines

from .facts import Facts
from .frame import Frame
from .look import Look
from .mapview import note_lines
from .tokenfacts import TokenFacts, token_facts
from .view import LookPicked, ViewPanel

STRONGEST = 12
"""As many tokens are stepped through."""
OLD = "This run was made before attention over the text was kept. Make it again with flowtui precompute --force."
NAME_CELLS = 18


class TokensPanel(ViewPanel):
    """Strip, numbers of the token under the cursor, and the most attended tokens over all layers."""

    view = "tokens"
    title = "Tokens"
    reading = (
        "Every token that the model reads, in order, in the colour of its group; each image is one block with the "
        "part of the attention that its tokens get together. The mark before a token, and its shade, tell how much "
        "attention it gets from the current answer token (or from all, on average) in the current layer, mean over "
        "heads. The scale ends at the largest value apart from the very first token, which often takes most. ␣ is a "
        "blank, ␊ a new line. j and k move the cursor, Enter on an answer token makes it the current one."
    )
    hints = ("view.down", "view.strongest", "token.previous", "view.zoom")

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[tuple[int, object], Lines] | None = None
        self._top = 0

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """Some tokens on."""
        last = len(token_facts(facts).items) - 1
        return replace(look, item=max(0, min((look.item or 0) + rows, last)))

    def strongest(self, look: Look, facts: Facts) -> Look:
        """The text token with most attention, or from there the next."""
        ranked = token_facts(facts).strongest(look.layer, look.token, STRONGEST)
        if not ranked:
            return look
        now = ranked.index(look.item) if look.item in ranked else len(ranked) - 1
        return replace(look, item=ranked[(now + 1) % len(ranked)])

    def zoom(self, look: Look, facts: Facts) -> Look:
        """An answer token becomes the current one; an image opens in the main view."""
        numbers = token_facts(facts)
        item = cursor(look, numbers)
        if numbers.items[item].images:
            return replace(look, view="main", kind="attention", head=None)
        token = numbers.token_of(item)
        return look if token is None else replace(look, token=token)

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Everything below each other."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        numbers = token_facts(facts)
        lines = self._laid_out(numbers, width)
        values, top = numbers.table(look.token)[look.layer], numbers.top(look.layer, look.token)
        says = note_lines(ink, width, self._problem(facts, numbers, look), ink.warn, 2)
        known = not says
        if known:
            texts = wrap_first(words_at(facts, numbers, look), width, 2)
            says = [line(ink, width, (text, ink.strong)) for text in texts]
            says.append(self._over_layers(frame, numbers, width))
        room = max(1, height - 2 - len(says))
        listed = 0 if room < 12 or not known else max(4, room // 3)
        rows = min(len(lines.starts), room - listed)
        item = cursor(look, numbers)
        self._top = lines.first(item, rows)
        shown = range(self._top, self._top + rows)
        made = [self._heading(frame, lines, shown, width), legend(ink, width, numbers, values, top)]
        current = None if look.token is None else numbers.answer_item(look.token)
        made += strip_lines(ink, numbers.chips, lines, shown, values, top, item, current)
        made += says
        left = height - len(made)
        if known and left >= 3:
            made += self._list(frame, numbers, width, left)
        return made

    def on_click(self, event: events.Click) -> None:
        """Puts the cursor on a token."""
        spot = event.get_content_offset(self)
        if self._frame is None or spot is None:
            return
        numbers = token_facts(self._frame.facts)
        chip = chip_at(numbers.chips, self._laid_out(numbers, self.size.width), self._top + spot.y - 2, spot.x)
        if spot.y >= 2 and chip is not None:
            self.post_message(LookPicked(replace(self._frame.look, item=chip)))

    def _laid_out(self, numbers: TokenFacts, width: int) -> Lines:
        key = (width, numbers.chips)
        if self._kept is None or self._kept[0][0] != width or self._kept[0][1] is not numbers.chips:
            self._kept = (key, lay_out(numbers.chips, width))
        return self._kept[1]

    def _problem(self, facts: Facts, numbers: TokenFacts, look: Look) -> str:
        """Why there are no values, or ""."""
        if look.layer in facts.run.missing("attention"):
            return f"{facts.gap('attention')} Press r to compute what is missing."
        return "" if numbers.has_text else OLD

    def _heading(self, frame: Frame, lines: Lines, shown: range, width: int) -> Strip:
        facts, look = frame.facts, frame.look
        whose = "answer" if look.token is None else f"token {look.token}"
        notes = [f"attention from the {whose}" if look.token is None else f"attention from answer {whose}"]
        if len(shown) < len(lines.starts):
            part = f"lines {shown.start + 1}–{shown.stop} of {len(lines.starts)}"
            notes = [f"{notes[0]}, {part}", part]
        return heading(frame.ink, width, "Tokens", f"layer {look.layer}/{facts.layers - 1}", notes)

    def _over_layers(self, frame: Frame, numbers: TokenFacts, width: int) -> Strip:
        """The token under the cursor over all layers, the current one marked."""
        ink, look = frame.ink, frame.look
        over = numbers.table(look.token)[:, cursor(look, numbers)]
        return curve_line(ink, width, [("over layers ", ink.dim)], over, look.layer)

    def _list(self, frame: Frame, numbers: TokenFacts, width: int, rows: int) -> list[Strip]:
        """The most attended text tokens, each with its attention over all layers."""
        ink, look = frame.ink, frame.look
        ranked = numbers.strongest(look.layer, look.token, rows - 1)
        made = [heading(ink, width, "Most attended text", f"layer {look.layer}", ("curves: over layers",))]
        table, item = numbers.table(look.token), cursor(look, numbers)
        places = len(str(numbers.items[-1].start))
        for i in ranked:
            name = clip(numbers.chips[i].text, NAME_CELLS)
            parts: list[Part] = [
                (f"{numbers.items[i].start:>{places}} ", ink.dim),
                (name, ink.mark if i == item else ink.groups[numbers.chips[i].group]),
            ]
            parts.append((" " * (places + 2 + NAME_CELLS - width_of(parts)), ink.text))
            parts.append((f"{percent(float(table[look.layer, i]))}  ", ink.strong))
            made.append(curve_line(ink, width, parts, table[:, i], look.layer, numbers.chips[i].group))
        return made


def cursor(look: Look, numbers: TokenFacts) -> int:
    """The item under the cursor."""
    return min(look.item or 0, len(numbers.items) - 1)


def words_at(facts: Facts, numbers: TokenFacts, look: Look) -> tuple[str, ...]:
    """The token under the cursor in numbers: in full, and shorter."""
    index = cursor(look, numbers)
    item, value = numbers.items[index], float(numbers.table(look.token)[look.layer, index])
    share = percent(value).strip().replace(" ", "\u00a0")
    if item.images:
        each = f"{100 * value / item.images:.3f}\u00a0%"
        others = item.end - item.start - item.images
        more = f", {others} separators included" if others else ""
        return (
            f"{item.name}, positions {item.start}–{item.end - 1}{more}: {share} of the attention in layer "
            f"{look.layer}, {each} per image token",
            f"{item.name}: {share}, {each} each",
        )
    place = numbers.rank(look.layer, look.token, index)
    rank = "" if place is None else f", rank {place + 1} of {int(numbers.of_text.sum())} text tokens"
    group = GROUPS[item.chip.group]
    return (
        f"“{item.chip.text}”, position {item.start}, {group}: {share} of the attention in layer {look.layer}{rank}",
        f"“{item.chip.text}”, position {item.start}, {group}: {share}{rank}",
        f"“{clip(item.chip.text, 12)}” {item.start}: {share}",
    )


def legend(ink: Ink, width: int, numbers: TokenFacts, values: NDArray[np.float64], top: float) -> Strip:
    """Colours of the groups, and the scale."""
    parts: list[Part] = []
    for group in dict.fromkeys(chip.group for chip in numbers.chips):
        parts += [("■ ", ink.groups[group]), (f"{GROUPS[group]} ", ink.dim)]
    parts.append((f"{CURRENT} current  ", ink.dim))
    if not top:
        return line(ink, width, *parts)
    scale: list[Part] = [("0 ", ink.dim), (EIGHTHS_UP[1:], ink.text), (f" {percent(top).strip()}", ink.text)]
    if values[0] > top and not numbers.items[0].images:
        beyond: Part = (f"  first token {percent(float(values[0])).strip()} is beyond", ink.dim)
        if width_of([*parts, *scale, beyond]) <= width:
            scale.append(beyond)
    for some in (parts, parts[:-1], []):
        if width_of([*some, *scale]) <= width:
            return line(ink, width, *some, *scale)
    return line(ink, width, *scale)
