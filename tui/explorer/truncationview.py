"""The truncation curve at large: KL, log-probability and the answer's text at each K."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from rich.text import Text
from textual.strip import Strip

from flowtui.engine.cliff import describe_rule
from flowtui.tui.draw.cells import heading, line, wrap, wrap_first
from flowtui.tui.draw.curve import AXIS_CELLS, Curve, Trace, axis_lines, nats, trace_canvas, trace_lines
from flowtui.tui.draw.ktable import Cut, k_table

from .curveview import cliff_words, rule_lines, words_at
from .facts import Facts
from .frame import Frame
from .look import Look
from .mapview import note_lines
from .truncationfacts import truncation_facts
from .view import ViewPanel, next_strongest

WIDE = 76
"""With fewer cells the table stands below the plot."""
BOTH_ROWS = 9
"""With fewer rows only one of the two plots is there."""
MIN_PLOT_CELLS = 10


class TruncationPanel(ViewPanel):
    """Plots on the left, the table of all K on the right, the rule below."""

    view = "truncation"
    title = "Image cut at K"
    reading = (
        "K is the number of leading layers that see the image: at K = 0 none does, and the last K is the untouched "
        "model. j and k move through K, also to the last one; h and l mean the layer, which is the first that no "
        "longer sees the image. KL says how far the answer's probabilities have moved; log p is the log-probability of "
        "the untouched model's answer; ● is the same greedy answer, ○ another. From the cliff on, nothing of that "
        "changes. t turns from KL large to log p large, s goes to the K where the KL falls most."
    )
    hints = ("view.down", "layer.cliff", "view.turn", "view.strongest", "token.previous", "view.zoom")

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, tuple[Hashable, list[Text]]] = {}

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """K on or back; the last one is the untouched model."""
        k = max(0, min(k_of(look, facts) + rows, facts.layers))
        return replace(look.at_layer(k, facts.layers), untouched=k == facts.layers)

    def turn(self, look: Look, facts: Facts) -> Look:
        """The other plot large."""
        return replace(look, logprob=not look.logprob)

    def strongest(self, look: Look, facts: Facts) -> Look:
        """To the K where the KL falls most, or from there to the next."""
        curve = facts.curve(look.token)
        ranked = [] if curve is None else truncation_facts(facts).ranked(curve.kl)
        if not ranked:
            return look
        k = k_of(look, facts)
        return self.move(look, facts, next_strongest(ranked, k) - k)

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The current layer in the main view."""
        return replace(look, view="main")

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Heading, plots and table, the current K and the rule in words."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        curve, k = facts.curve(look.token), k_of(look, facts)
        token = "all tokens" if look.token is None else f"token {look.token}"
        made = [heading(ink, width, self.title, f"K {k}/{facts.layers}", (f"{token} · {cliff_words(facts)}",))]
        if curve is None:
            rule = f"Cliff: {describe_rule()}"
            made += note_lines(ink, width, f"{facts.gap('truncation')} Press r to compute it.", ink.warn, 2)
            return made + [line(ink, width, (text, ink.dim)) for text in wrap(rule, width, max(0, height - 3))]
        side_by_side = width >= WIDE
        words = words_at(facts, k, look.token, curve) if side_by_side else ()
        below = [line(ink, width, (text, ink.text)) for text in wrap_first(words, width, 2 if height < 24 else 4)]
        below += [line(ink, width, (t, ink.dim)) for t in rule_lines(facts, width, 1 if height < 15 else 2)]
        below = below[: max(0, height - 4)]
        room = max(1, height - 1 - len(below))
        cliff = facts.cliff_layer
        if side_by_side:
            left = max(36, int(width * 0.45))
            plots = self._plots(frame, curve, left, room)
            table = k_table(ink, width - left - 2, room, self._cuts(frame, curve), k, cliff)
            made += _join(frame, plots, left, table, width - left - 2, room)
        else:
            rows = min(room // 2, room - 4) if width >= AXIS_CELLS + MIN_PLOT_CELLS else 0
            plots = self._plots(frame, curve, width, rows) if rows >= 4 else []
            made += plots + k_table(ink, width, room - len(plots), self._cuts(frame, curve), k, cliff)
        return [*made, *below]

    def _cuts(self, frame: Frame, curve: Curve) -> list[Cut]:
        found = truncation_facts(frame.facts)
        logs = found.logprob(frame.look.token).tolist()
        rows = zip(curve.kl.tolist(), logs, curve.same, found.texts, strict=True)
        return [Cut(kl, log, same, text or "") for kl, log, same, text in rows]

    def _plots(self, frame: Frame, curve: Curve, width: int, height: int) -> list[Strip]:
        """One or two plots over the same K, with the axis below; the chosen one is larger, or alone."""
        ink, look = frame.ink, frame.look
        k = k_of(look, frame.facts)
        logs = truncation_facts(frame.facts).logprob(look.token)
        known = logs[np.isfinite(logs)]
        low = float(known.min()) if len(known) else -1.0
        high = min(0.0, float(known.max())) if len(known) else 0.0
        # Not cut to the values' own range: how far below certainty the answer is shall be seen.
        high, low = (0.0 if high > 0.5 * low else high), min(low, high - 1e-6)
        full = float(logs[-1]) if np.isfinite(logs[-1]) else None
        traces = {
            "kl": (Trace(curve.kl, 0.0, curve.top, curve.eta), "KL from the untouched model, nats"),
            "logprob": (Trace(logs, low, high, full), "log p of its answer, nats (line: untouched)"),
        }
        chosen = "logprob" if look.logprob else "kl"
        free = height - 2
        if free >= BOTH_ROWS - 2:
            larger = (free - 2) * 3 // 5
            rows = {name: larger if name == chosen else free - 2 - larger for name in traces}
        else:
            rows = {chosen: max(1, free - 1)}
        made = []
        for name, count in rows.items():
            trace, caption = traces[name]
            texts = (caption, caption.split(" (")[0], caption.split(",")[0])
            fitting = next((text for text in texts if len(text) <= width - AXIS_CELLS), "")
            made.append(line(ink, width, (" " * AXIS_CELLS, ink.text), (fitting, ink.dim)))
            canvas = self._canvas(frame, name, trace, width - AXIS_CELLS, count)
            made += trace_lines(ink, width, canvas, (nats(trace.high), nats(trace.low)), curve, k)
        return [*made, *axis_lines(ink, width, curve, k)]

    def _canvas(self, frame: Frame, name: str, trace: Trace, width: int, rows: int) -> list[Text]:
        key = (trace.values.tobytes(), trace.low, trace.high, trace.level, width, rows, frame.ink.background)
        if self._kept.get(name, (None,))[0] != key:
            self._kept[name] = (key, trace_canvas(trace, max(2, width), rows, frame.ink))
        return self._kept[name][1]


def k_of(look: Look, facts: Facts) -> int:
    """The current K: the layer, or one past the last."""
    return facts.layers if look.untouched else look.layer


def _join(frame: Frame, left: list[Strip], cells: int, right: list[Strip], rest: int, rows: int) -> list[Strip]:
    """Two columns of lines with two blanks between."""
    ink = frame.ink
    blanks = (line(ink, cells, ("", ink.text)), line(ink, rest, ("", ink.text)))
    gap = line(ink, 2, ("", ink.text))
    left, right = [*left, *[blanks[0]] * rows][:rows], [*right, *[blanks[1]] * rows][:rows]
    return [Strip.join([a, gap, b]) for a, b in zip(left, right, strict=True)]
