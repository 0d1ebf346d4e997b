"""What flows into the answer at each layer (the paper's Figure 1), and what the answer loses when that is cut."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from flowtui.engine.results import GROUPS
from flowtui.engine.shapes import EDGES
from flowtui.tui.draw.bands import PLAIN, hanging, stacked
from flowtui.tui.draw.cells import Part, heading, line, wrap, wrap_first
from flowtui.tui.draw.scrubber import LABEL_CELLS, scrubber_columns
from flowtui.tui.draw.spark import spark

from .facts import Facts
from .flowfacts import SOURCES, FlowFacts, flow_facts
from .frame import Frame
from .look import Look
from .mapview import note_lines
from .view import ViewPanel, next_strongest

MIN_ROWS = 11
"""With fewer rows there is no room for the knockout."""


class FlowPanel(ViewPanel):
    """Bands above, knockout below, both over the same columns as the scrubber."""

    view = "flow"
    title = "Flow into the answer"
    reading = (
        "Bands show, layer by layer, how much the answer takes from image, user and system tokens: attention times "
        "what the answer's loss changes with it (saliency), mean over pairs of tokens. t turns from shares of each "
        "layer to absolute size and to a log scale, s goes to the layer with most flow from the image. Below: how much "
        "of the answer's log-probability is lost when a connection is cut in a window of layers around each layer; "
        "bars hang down for a loss, + or a bar upwards is a gain."
    )
    hints = ("view.turn", "view.strongest", "layer.cliff", "token.previous", "layer.play")

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, tuple[Hashable, tuple[list[Strip], list[Strip]]]] = {}

    def turn(self, look: Look, facts: Facts) -> Look:
        """The next scale of the bands."""
        return look.next_scale()

    def strongest(self, look: Look, facts: Facts) -> Look:
        """To the layer with most flow from the image, or from there to the next."""
        ranked = flow_facts(facts).ranked(look.scale)
        return look.at_layer(next_strongest(ranked, look.layer), facts.layers) if ranked else look

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The current layer in the main view."""
        return replace(look, view="main")

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Bands, the layer in words, knockout."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        flows, cut_gap = flow_facts(facts), facts.gap("knockout")
        layer = f"layer {look.layer}/{facts.layers - 1}"
        made = [heading(ink, width, self.title, layer, scale_words(flows, look))]
        words = [line(ink, width, (text, ink.text)) for text in words_at(flows, look, width)]
        gap = facts.gap("saliency")
        if gap:
            words = note_lines(ink, width, f"{gap} Press r to compute it.", ink.warn, 2)
        each = 0 if height < MIN_ROWS else 1 if height < 16 else 2 if height < 30 else 3 if height < 44 else 5
        if cut_gap and flows.window is None:
            each = 0
        below = 1 + len(EDGES) * each if each else 0
        rows = max(1, height - 1 - len(words) - max(below, 2 if cut_gap and height >= MIN_ROWS else 0))
        full, dim = self._bands(frame, flows, width, rows)
        columns = scrubber_columns(facts.layers, width)
        start, end = columns.start(look.layer), columns.end(look.layer)
        for label, bright, faint in zip(_labels(frame, flows, rows), full, dim, strict=True):
            made.append(_row(frame, width, label, bright, faint, (start, end)))
        made += words
        if each:
            made += self._knockout(frame, flows, width, each)
        if cut_gap and height >= MIN_ROWS:
            note = "" if each else "It shows what the answer loses when connections are cut."
            made[height - 1 :] = []
            made += note_lines(ink, width, f"{cut_gap} {note} Press r to compute it.".replace("  ", " "), ink.warn, 2)
        return made

    def _bands(self, frame: Frame, flows: FlowFacts, width: int, rows: int) -> tuple[list[Strip], list[Strip]]:
        """The bands in full and in receding colours; kept, for a step only changes which part is in full."""
        ink, scale = frame.ink, frame.look.scale
        plain = frame.painter.graphics.name == "ascii"
        key = (flows.flow.tobytes(), scale, width, rows, ink.background, plain)
        if self._kept.get("bands", (None,))[0] != key:
            columns = scrubber_columns(frame.facts.layers, width)
            spread = np.stack([columns.spread(band) for band in flows.heights(scale).T], axis=1)
            made = []
            for tones in (ink.groups, ink.groups_dim):
                styles = [tones[GROUPS.index(name)] for name in SOURCES]
                if scale != "log":
                    made.append(stacked(ink, styles, spread, rows, plain=plain))
                    continue
                each = max(1, rows // len(SOURCES))
                ribbons = [
                    line(ink, columns.used, (text, styles[band]))
                    for band in reversed(range(len(SOURCES)))
                    for text in spark(spread[:, band], 1.0, each)
                ]
                blank = line(ink, columns.used, ("", ink.text))
                made.append([*ribbons, *[blank] * rows][:rows])
            self._kept["bands"] = (key, (made[0], made[1]))
        return self._kept["bands"][1]

    def _knockout(self, frame: Frame, flows: FlowFacts, width: int, each: int) -> list[Strip]:
        """One small chart per edge, all on one scale."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        lost = flows.lost(look.token)
        known = np.abs(lost[np.isfinite(lost)])
        high = float(known.max()) if len(known) else 0.0
        token = "all tokens" if look.token is None else f"token {look.token}"
        unit = f"change of the answer's log p, full bar {high:.2g} nats"
        notes = (f"cut in {flows.window} layers around each · {unit}", unit, f"full bar {high:.2g} nats")
        made = [heading(ink, width, "Connections cut", token, notes)]
        full, dim = self._bars(frame, lost, high, width, each)
        columns = scrubber_columns(facts.layers, width)
        span = (columns.start(look.layer), columns.end(look.layer))
        for i, edge in enumerate(EDGES):
            # One blank between label and bars.
            labels: list[Part] = [(edge.replace("->", "→").replace("system", "syst."), ink.text)]
            if each > 1:
                labels.append((f" {signed(lost[look.layer, i])} nats", ink.strong))
            for row in range(each):
                label = labels[row] if row < len(labels) else ("", ink.text)
                at = i * each + row
                made.append(_row(frame, width, label, full[at], dim[at], span))
        return made

    def _bars(
        self, frame: Frame, lost: NDArray[np.float64], high: float, width: int, each: int
    ) -> tuple[list[Strip], list[Strip]]:
        """The bars of all edges in full and in receding colours, kept like the bands."""
        ink, plain = frame.ink, frame.painter.graphics.name == "ascii"
        key = (lost.tobytes(), width, each, ink.background, plain)
        if self._kept.get("bars", (None,))[0] != key:
            columns = scrubber_columns(frame.facts.layers, width)
            up = 1 if each > 2 else 0
            made: tuple[list[Strip], list[Strip]] = ([], [])
            for i, edge in enumerate(EDGES):
                group, values = GROUPS.index(edge.split("->")[0]), columns.spread(lost[:, i])
                for strips, tones in zip(made, (ink.groups, ink.groups_dim), strict=True):
                    strips += hanging(ink, tones[group], values, high, (up, each - up), plain=plain)
            self._kept["bars"] = (key, made)
        return self._kept["bars"][1]


def scale_words(flows: FlowFacts, look: Look) -> tuple[str, ...]:
    """What the bands' width means: in full, and shorter."""
    if look.scale == "share":
        return ("shares: each layer = 100 %", "each layer = 100 %", "shares")
    if look.scale == "absolute":
        top = f"full height {flows.top:.2g}"
        return (f"absolute: {top}, mean saliency of a pair of tokens", f"absolute: {top}", top)
    low, high = flows.decades
    return (
        f"log scale: each band from {low:.1g} to {high:.1g}, mean saliency of a pair of tokens",
        f"log scale, {low:.1g} to {high:.1g}",
        f"log, {low:.1g} to {high:.1g}",
    )


def words_at(flows: FlowFacts, look: Look, width: int) -> list[str]:
    """The current layer's flows in words, as fully as fits: in full on two lines, else on one."""
    flow, share = flows.flow[look.layer], flows.share[look.layer]
    if not np.isfinite(flow).all():
        return [f"Layer {look.layer} is not computed yet. Press r."]
    if not flow.any():
        return [f"Layer {look.layer}: nothing flows into the answer here."]
    each = [(name, f"{v:.2g}", whole_percent(part)) for name, v, part in zip(SOURCES, flow, share, strict=True)]
    full = (
        f"Layer {look.layer}: to the answer flow "
        + ", ".join(f"{value} from {name} ({part})" for name, value, part in each)
        + f"; from image to user {flows.to_user[look.layer]:.2g}. Mean saliency of a pair of tokens."
    )
    lines = wrap(full, width, 2)
    short = " · ".join(f"{name} {value} ({part})" for name, value, part in each)
    shortest = " · ".join(f"{name} {part}" for name, _, part in each)
    return wrap_first((f"to the answer: {short}", short, shortest), width, 1) if lines[-1].endswith("…") else lines


def whole_percent(part: float) -> str:
    """A part in 0..1 as a whole percentage; what is not quite nothing or everything says so."""
    return "<1 %" if 0 < part < 0.005 else ">99 %" if 0.995 < part < 1 else f"{100 * part:.0f} %"


def signed(value: float) -> str:
    """A change with its sign, a true minus."""
    if not np.isfinite(value):
        return "·"
    text = f"{abs(value):.2f}"
    return text if float(text) == 0 else f"{'−' if value < 0 else '+'}{text}"


def _labels(frame: Frame, flows: FlowFacts, rows: int) -> list[list[Part]]:
    """What stands beside the bands: their names, and the scale's ends where there is room."""
    ink, scale = frame.ink, frame.look.scale
    plain = frame.painter.graphics.name == "ascii"
    names: list[list[Part]] = []
    for band in reversed(range(len(SOURCES))):
        glyph = PLAIN[band] if plain and scale != "log" else "█"
        tone = ink.groups[GROUPS.index(SOURCES[band])]
        names.append([(glyph * 2, tone), (f" {SOURCES[band]}", ink.text)])
    blank: list[Part] = [("", ink.text)]
    if scale == "log":
        each = max(1, rows // len(SOURCES))
        made = [[*name] if i == 0 else blank for name in names for i in range(each)]
        return [*made, *[blank] * rows][:rows]
    if rows < len(SOURCES) + 2:
        return [*names, *[blank] * rows][:rows]
    high = "100 %" if scale == "share" else f"{flows.top:.2g}"
    between = rows - 2 - len(names)
    ends: list[list[Part]] = [[(f"{text:>{LABEL_CELLS - 2}} ", ink.dim)] for text in (high, "0")]
    return [ends[0], *[blank] * (between // 2), *names, *[blank] * (between - between // 2), ends[1]]


def _row(
    frame: Frame, width: int, label: list[Part] | Part, bright: Strip, faint: Strip, span: tuple[int, int]
) -> Strip:
    """Label, and the bands with the current layer's own columns in full colour."""
    ink = frame.ink
    parts = label if isinstance(label, list) else [label]
    strips = [line(ink, LABEL_CELLS, *parts), faint.crop(0, span[0]), bright.crop(*span), faint.crop(span[1])]
    return Strip.join(strips).adjust_cell_length(width, ink.text)
