"""A sweep on the whole screen: the curve with its bands and its cliff, the verdict, and the items that flip."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
from rich.cells import cell_len
from textual.strip import Strip

from flowtui.engine.noninferiority import Curve
from flowtui.tui.draw.bandcurve import Banded, Cell, Spread, band_canvas, band_lines
from flowtui.tui.draw.cells import Part, clip, fit, heading, line, width_of, wrap, wrap_first
from flowtui.tui.draw.curve import AXIS_CELLS
from flowtui.tui.draw.ink import Ink
from flowtui.tui.draw.itemtable import Row, item_table
from flowtui.tui.text import visible

from .frame import Busy
from .header import word_window
from .statusbar import busy_parts, hint_parts
from .sweepfacts import SweepFacts
from .sweeplook import WHICH_NAMES, SweepLook

WIDE = 76
"""With fewer cells the items stand below the plot."""
ROOMY = 32
"""From this height on there is room for more words."""
BELOW, ABOVE = 10, 3
"""The plot of differences shows so many margins below the untouched model, and at least so many above it."""

READING = (
    "The curve is the data set's score when the image tokens are removed after K layers, for every item; the last K is "
    "the untouched model. Dotted lines: its score, and what the margin allows. The shade is the band that holds the "
    "whole curve at a level of 90 %, from a bootstrap over images. From the cliff on, cutting the image loses less "
    "than the margin, at a level of 0.05; ├─◆─┤ is the cliff with its interval. An item flips when the metric counts "
    "something else of it at K than of the untouched model: − it loses, + it gains, ≠ it answers otherwise and neither "
    "loses nor gains. Items without an image count in no curve."
)


@dataclass(frozen=True, slots=True)
class SweepFrame:
    """One state of a sweep, ready to be drawn.

    Attributes:
        facts: Its numbers.
        look: What of them is shown.
        ink: Colours.
        title: Name of the file, safe to show, or "".
        hints: (key, what it does), the most useful first.
        busy: What is being computed, or None.
        problem: Why there are no bands and no cliff, or "".
    """

    facts: SweepFacts
    look: SweepLook
    ink: Ink
    title: str
    hints: tuple[tuple[str, str], ...]
    busy: Busy | None = None
    problem: str = ""


class SweepDrawing:
    """Draws frames. The plot is kept; a step only moves the mark on it."""

    def __init__(self) -> None:
        self._kept: tuple[Hashable, list[list[Cell]]] = (None, [])
        # Where things were drawn last, for the mouse: rows from `_top` on.
        self._top = self._left = self._first_row = self._plot_cells = self._plot_rows = 0
        self._shown: list[int] = []

    def draw(self, frame: SweepFrame, width: int, height: int) -> list[Strip]:
        """Exactly `height` lines."""
        ink = frame.ink
        made = [*header_lines(frame, width), *([line(ink, width)] if height >= ROOMY else [])]
        made.append(self._heading(frame, width))
        verdict = verdict_lines(frame, width, 4 if height >= ROOMY else 2)
        item = item_lines(frame, width, 7 if height >= ROOMY else 4 if height >= 22 else 3)
        room = max(2, height - len(made) - len(verdict) - len(item) - 1)
        self._top, self._shown = len(made), []
        if width >= WIDE:
            left = max(38, int(width * 0.45))
            self._left, self._first_row, self._plot_rows = left + 2, 1, room
            plot = fit(self._plot(frame, left, room), ink, left, room)
            table = fit(self._items(frame, width - left - 2, room), ink, width - left - 2, room)
            gap = line(ink, 2)
            made += [Strip.join([a, gap, b]) for a, b in zip(plot, table, strict=True)]
        else:
            rows = max(2, room * 3 // 5)
            self._left, self._first_row, self._plot_rows = 0, rows + 1, rows
            made += self._plot(frame, width, rows) + self._items(frame, width, room - rows)
        status = [status_line(frame, width)]
        return fit([*fit([*made, *verdict, *item], ink, width, height - 1), *status], ink, width, height)

    def pick(self, frame: SweepFrame, x: int, y: int) -> SweepLook | None:
        """The look after a click at a cell of what was drawn last; None where there is nothing to click at."""
        facts, look = frame.facts, frame.look
        y -= self._top
        if y < 0:
            return None
        if self._left <= x and self._first_row <= y < self._first_row + len(self._shown):
            return replace(look, item=self._shown[y - self._first_row])
        cell = x - AXIS_CELLS
        if y < self._plot_rows and 0 <= cell < self._plot_cells:
            return look.at(Spread(facts.layers, self._plot_cells).nearest(cell), facts.layers)
        return None

    def _heading(self, frame: SweepFrame, width: int) -> Strip:
        facts, look = frame.facts, frame.look
        name = facts.metrics[look.metric]
        unit = facts.unit(look)[1]
        points = ", points" if unit else ""
        title = f"{name}: difference{points}" if look.difference else f"{name}{unit and ', %'}"
        cut = f"image cut at K, {facts.labels[look.curve]}" if look.curve or len(facts.labels) > 1 else "image cut at K"
        return heading(frame.ink, width, title, f"K {look.k}/{facts.layers}", (f"{cut} · {cliff_words(frame)}",
                       cliff_words(frame)))  # fmt: skip

    def _plot(self, frame: SweepFrame, width: int, height: int) -> list[Strip]:
        """The curve, the cliff's interval and the axis."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        cells, rows = width - AXIS_CELLS, height - 2
        if cells < 4 or rows < 1:
            return []
        banded = banded_of(facts, look)
        found = facts.found(look)
        key = (facts, look.metric, look.curve, look.difference, id(found), cells, rows, ink.background)
        if self._kept[0] != key:
            self._kept = (key, band_canvas(banded, cells, rows, ink))
        self._plot_cells = cells
        low, high = banded.ends
        return band_lines(ink, width, self._kept[1], banded, look.k, (axis_number(high), axis_number(low)))

    def _items(self, frame: SweepFrame, width: int, height: int) -> list[Strip]:
        """The list around the cursor."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        listed = facts.listed(look)
        if height < 1:
            return []
        current = facts.current(look)
        if current is None:
            none = f"No {WHICH_NAMES[look.which]} at K {look.k}. v lists others."
            return [line(ink, width, (text, ink.dim)) for text in wrap(none, width, height)]
        at = int(np.searchsorted(listed, current))
        shown = max(1, height - 1)
        first = max(0, min(at - shown // 2, len(listed) - shown))
        part = listed[first : first + shown].tolist()
        self._shown = part
        changes = facts.changes(look)
        rows = [row_of(facts, look, item, int(changes[item])) for item in part]
        return item_table(ink, width, rows, f"at K {look.k}", at - first)


def header_lines(frame: SweepFrame, width: int) -> list[Strip]:
    """What was swept, and which metrics and ways of cutting there are."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    sweep = facts.sweep
    about = (
        f" · {visible(sweep.model.name)} · {len(sweep.items)} items on {len(set(sweep.clusters.tolist()))} images"
        f" · {facts.layers} layers"
    )
    first = line(
        ink, width, ("flowtui sweep ", ink.accent), (visible(sweep.dataset), ink.strong), (about, ink.dim),
        right=[(frame.title, ink.dim)],
    )  # fmt: skip
    cuts = [(" cut ", ink.dim), *_choices(ink, facts.labels, look.curve, width // 2)]
    metrics = _choices(ink, facts.metrics, look.metric, width - width_of(cuts) - 7)
    return [first, line(ink, width, ("metric ", ink.dim), *metrics, *cuts)]


def _choices(ink: Ink, names: tuple[str, ...], chosen: int, room: int) -> list[Part]:
    """The names around the chosen one, as many as there is room for."""
    room = max(3, room)
    words = [clip(name, room - 2) for name in names]
    first, last = word_window([f"{word} " for word in words], chosen, room - 2 * (len(words) > 1))
    parts: list[Part] = [("‹", ink.dim)] if first else []
    for i in range(first, last):
        parts += [(f"[{words[i]}]" if i == chosen else f" {words[i]} ", ink.mark if i == chosen else ink.text)]
    return [*parts, *([("›", ink.dim)] if last < len(words) else [])]


def cliff_words(frame: SweepFrame) -> str:
    """The cliff in a few words."""
    found = frame.facts.found(frame.look)
    if found is None:
        return "no cliff can be found" if frame.problem else "finding the cliff …"
    return "no cliff" if found.k is None else f"cliff K {found.k} ({found.interval[0]}–{found.interval[1]})"


def banded_of(facts: SweepFacts, look: SweepLook) -> Banded:
    """What is plotted, in percent or in points."""
    times = facts.unit(look)[0]
    score, found = times * facts.score(look), facts.found(look)
    sign = -1 if facts.lower_is_better(look) else 1
    whole = float(score[-1])
    if found is None:
        values = sign * (score - whole) if look.difference else score
        return Banded(values, None, None, 0.0 if look.difference else whole)
    margin, low, high = times * found.margin, times * found.low, times * found.high
    if not look.difference:
        one, other = whole + sign * low, whole + sign * high
        return Banded(
            score, np.minimum(one, other), np.maximum(one, other), whole, whole - sign * margin, found.k, found.interval
        )
    ceiling = max(ABOVE * margin, float(high.max()))
    floor = -BELOW * margin
    # A band that lies below as a whole is not there; one that begins there reaches down to the edge.
    known = high >= floor
    low, high = (np.where(known, np.clip(edge, floor, ceiling), np.nan) for edge in (low, high))
    values = _near(times * found.difference, floor, ceiling)
    return Banded(values, low, high, 0.0, -margin, found.k, found.interval)


def _near(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values outside are cut at the edge; those with no neighbour inside are left out."""
    inside = np.concatenate([[False], (values >= low) & (values <= high), [False]])
    beside = inside[:-2] | inside[1:-1] | inside[2:]
    return np.where(beside, np.clip(values, low, high), np.nan)


def row_of(facts: SweepFacts, look: SweepLook, item: int, change: int) -> Row:
    """An item of the list."""
    kept = facts.sweep.items[item]
    return Row(
        change=None if kept.image is None else change,
        same=facts.text(look, item, look.k) == facts.text(look, item, facts.layers),
        answer=facts.text(look, item, look.k),
        untouched=facts.text(look, item, facts.layers),
        truth=facts.truth(item),
        question=visible(kept.prompt),
    )


def verdict_lines(frame: SweepFrame, width: int, rows: int) -> list[Strip]:
    """The current K in numbers, and what the data set says about the cliff."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    found = facts.found(look)
    made = [line(ink, width, (wrap_first(k_words(facts, look, found), width, 1)[0], ink.strong))]
    says = frame.problem or (f"{found.verdict} {found.gain_verdict}" if found is not None and rows > 2 else
                             found.verdict if found is not None else waiting(facts))  # fmt: skip
    tone = ink.warn if frame.problem or (found is not None and found.items < found.needed) else ink.text
    return [*made, *(line(ink, width, (text, tone)) for text in wrap(says, width, rows))]


def waiting(facts: SweepFacts) -> str:
    """What is being looked for while it is."""
    return f"Finding the cliff at a margin of {100 * facts.margin:g} points: a bootstrap over images …"


def k_words(facts: SweepFacts, look: SweepLook, found: Curve | None) -> tuple[str, ...]:
    """The current K in words: in full, and shorter."""
    times, unit = facts.unit(look)
    score = times * facts.score(look)
    points = " points" if unit else ""
    sign = -1 if facts.lower_is_better(look) else 1
    changes = facts.changes(look)
    lost, gained = int((changes < 0).sum()), int((changes > 0).sum())
    name = facts.metrics[look.metric]
    now = f"K {look.k}: {name} {score[look.k]:.1f}{unit}"
    if look.k == facts.layers:
        return (f"{now}, the untouched model", now)
    apart = signed(sign * (score[look.k] - score[-1]))
    band = "" if found is None else f" [{signed(times * found.low[look.k])}, {signed(times * found.high[look.k])}]"
    worse = f"{lost} lose, {gained} gain"
    return (
        f"{now}, {apart}{band}{points} from the untouched model; {worse} of {facts.part(look)}",
        f"{now}, {apart}{band}{points}; {worse} of {facts.part(look)}",
        f"{now}, {apart}{points}; {worse}",
    )


def item_lines(frame: SweepFrame, width: int, rows: int) -> list[Strip]:
    """The item under the cursor in full."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    item = facts.current(look)
    if item is None:
        return []
    kept, curve = facts.sweep.items[item], facts.curve_set(look)
    name = visible(kept.id) + (f" · {visible(kept.image)}" if kept.image and kept.image not in kept.id else "")
    listed = facts.listed(look)
    place = f"{int(np.searchsorted(listed, item)) + 1} of {len(listed)} · {WHICH_NAMES[look.which]}"
    made = [heading(ink, width, "Item", name, (f"{place} · {visible(kept.kind)}", place))]
    says = f"KL {curve.kl[item, look.k]:.3f} nats · log p {signed(float(curve.logprob[item, look.k]), 2)}"
    answers = [
        (f"K {look.k}", facts.text(look, item, look.k), judged(facts, look, item, look.k)),
        ("whole", facts.text(look, item, facts.layers), judged(facts, look, item, facts.layers)),
        ("truth", facts.truth(item), ""),
    ]
    label = 2 + max(len(name) for name, _, _ in answers)
    question = wrap(visible(kept.prompt), width - label, max(1, rows - 4))
    for i, text in enumerate(question):
        made.append(line(ink, width, (f"{'Q' if i == 0 else '':<{label}}", ink.accent), (text, ink.text)))
    if rows >= 5:
        for i, (name, text, mark) in enumerate(answers):
            right = [(says, ink.dim)] if i == 0 else []
            made.append(line(ink, width, (f"{name:<{label}}", ink.accent), (text, ink.strong), (mark, ink.dim),
                             right=right))  # fmt: skip
        return made[:rows]
    parts: list[Part] = []
    for name, text, mark in answers:
        parts += [(f"{name} ", ink.accent), (text, ink.strong), (f"{mark}  ", ink.dim)]
    room = width - sum(cell_len(text) for text, _ in parts)
    right = [(says, ink.dim)] if room > len(says) else []
    return [*made, line(ink, width, *parts, right=right)][:rows]


def judged(facts: SweepFacts, look: SweepLook, item: int, k: int) -> str:
    """What the metric counts of an answer."""
    score = facts.item_score(look, item, k)
    if not np.isfinite(score):
        return ""
    good, bad = (0, 1) if facts.lower_is_better(look) else (1, 0)
    times, unit = facts.unit(look)
    if not unit:
        return f" ({score:.3g})"
    return " ✓" if score == good else " ✗" if score == bad else f" ({times * score:.0f} %)"


def status_line(frame: SweepFrame, width: int) -> Strip:
    """Progress while something is computed, else the most useful keys."""
    ink = frame.ink
    if frame.busy is None:
        return line(ink, width, *hint_parts(ink, width, frame.hints))
    parts = busy_parts(frame.busy, width)
    return line(ink, width, (parts[0], ink.strong), (parts[1], ink.accent), (parts[2], ink.text),
                right=[("Esc cancels", ink.dim)])  # fmt: skip


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus, and none at zero."""
    text = f"{value:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "−")


def axis_number(value: float) -> str:
    """A number in at most four cells."""
    text = f"{value:.1f}" if abs(value) < 9.95 or 0 < value < 99.95 else f"{value:.0f}"
    return text.replace("-", "−")
