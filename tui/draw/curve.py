"""The truncation curve: how far the answer moves when the image is cut at K, drawn by plotext on our own axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual_plotext.plot import Plot

from .cells import Part, line
from .columns import place_labels, wanted_labels
from .ink import Ink, Rgb, mix

AXIS_CELLS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """A truncation curve.

    Attributes:
        kl: [L+1] nats over K = 0..L, NaN where missing.
        same: Per K whether greedy decoding gives the full model's answer, None where missing.
        cliff: The cliff's K, or None.
        eta: The rule's limit in nats.
    """

    kl: NDArray[np.floating]
    same: tuple[bool | None, ...]
    cliff: int | None
    eta: float

    @property
    def top(self) -> float:
        """The value at the upper edge, nats."""
        known = self.kl[np.isfinite(self.kl)]
        return max(float(known.max()) if len(known) else 0.0, 2 * self.eta, 1e-6)


@dataclass(frozen=True, slots=True)
class Trace:
    """What is plotted over K.

    Attributes:
        values: [L+1], NaN where missing.
        low, high: The values at the lower and the upper edge.
        level: A value to draw a line at, or None.
    """

    values: NDArray[np.floating]
    low: float
    high: float
    level: float | None = None


@dataclass(frozen=True, slots=True)
class Ks:
    """K = 0..L as points on `width` cells, evenly spaced where there is room."""

    layers: int
    width: int

    @property
    def used(self) -> int:
        """Cells really taken."""
        step = (self.width - 1) // self.layers
        return step * self.layers + 1 if step else self.width

    @property
    def count(self) -> int:
        """Number of K."""
        return self.layers + 1

    def start(self, k: int) -> int:
        """The cell of a K."""
        return round(k * (self.used - 1) / self.layers)


def curve_canvas(curve: Curve, width: int, height: int, ink: Ink) -> list[Text]:
    """The plot area of a truncation curve alone, as `trace_canvas` draws it."""
    return trace_canvas(Trace(curve.kl, 0.0, curve.top, curve.eta), width, height, ink)


def trace_canvas(trace: Trace, width: int, height: int, ink: Ink) -> list[Text]:
    """The plot area alone, without axes: `height` texts of `width` cells. Slow (plotext): keep the result.

    Args:
        trace: What to plot.
        width: Cells; point K lies in the cell `Ks(L, width).start(K)`.
        height: Lines.
        ink: Colours.
    """
    layers = len(trace.values) - 1
    used = Ks(layers, width).used
    plot = Plot()
    plot.theme("clear")
    plot.plotsize(used, height)
    # plotsize alone limits a plot to the terminal that plotext believes to be in.
    plot._set_size(used, height)
    plot.frame(False)
    plot.xaxes(False, False)
    plot.yaxes(False, False)
    plot.xticks([])
    plot.yticks([])
    plot.xlim(0, layers)
    plot.ylim(trace.low, trace.high)
    image: Rgb = _rgb(ink.groups[1])
    if trace.level is not None:
        level = [trace.level, trace.level]
        plot.plot([0, layers], level, marker="braille", color=mix(_rgb(ink.cliff), ink.background, 0.35))
    for first, last in _stretches(trace.values):
        ks = list(range(first, last + 1))
        draw = plot.plot if len(ks) > 1 else plot.scatter
        inside = np.clip(trace.values[first : last + 1], trace.low, trace.high)
        draw(ks, [float(v) for v in inside], marker="braille", color=image)
    drawn = list(Text.from_ansi(plot.build()).split(allow_blank=True))[:height]
    lines = [*drawn, *(Text() for _ in range(height - len(drawn)))]
    for text in lines:
        text.truncate(width, pad=True)
    return lines


def curve_lines(ink: Ink, width: int, canvas: list[Text], curve: Curve, k: int) -> list[Strip]:
    """Axes, answer marks and the current K around a finished canvas.

    Args:
        ink: Colours.
        width: Cells; the canvas was made for `width - AXIS_CELLS`.
        canvas: From `curve_canvas`.
        curve: The same curve.
        k: Current K.

    Returns:
        The canvas' lines, then one of marks (same answer or not) and one of K labels.
    """
    made = trace_lines(ink, width, canvas, (nats(curve.top), "0"), curve, k)
    return [*made, *axis_lines(ink, width, curve, k)]


def trace_lines(ink: Ink, width: int, canvas: list[Text], ends: tuple[str, str], curve: Curve, k: int) -> list[Strip]:
    """The value axis around a finished canvas, with the current K and the cliff as upright lines.

    Args:
        ink: Colours.
        width: Cells; the canvas was made for `width - AXIS_CELLS`.
        canvas: From `trace_canvas`.
        ends: What stands at the upper and the lower edge, at most `AXIS_CELLS` - 2 cells each.
        curve: The truncation curve of the same K.
        k: Current K.
    """
    ks = Ks(len(curve.kl) - 1, width - AXIS_CELLS)
    made = []
    for i, text in enumerate(canvas):
        label = ends[0] if i == 0 else ends[1] if i == len(canvas) - 1 else ""
        segments = [Segment(f"{label:>{AXIS_CELLS - 2}} ", ink.dim), Segment("┤" if label else "│", ink.dim)]
        segments += _with_marks(text, ks, curve.cliff, k, ink)
        # Fewer segments are fewer bytes to send.
        made.append(Strip(segments).simplify().adjust_cell_length(width, ink.text))
    return made


def axis_lines(ink: Ink, width: int, curve: Curve, k: int) -> list[Strip]:
    """A line of marks, same answer or not, and one of K labels."""
    ks = Ks(len(curve.kl) - 1, width - AXIS_CELLS)
    return [_answers(ink, width, ks, curve, k), _axis(ink, width, ks, curve, k)]


def _with_marks(text: Text, ks: Ks, cliff: int | None, k: int, ink: Ink) -> list[Segment]:
    """The line of the plot with the current K and the cliff as upright lines where the curve leaves room."""
    cells: list[tuple[str, Style]] = [(c, ink.dim) for c in text.plain]
    for span in text.spans:
        tone = span.style if isinstance(span.style, Style) else Style.null()
        for i in range(span.start, min(span.end, len(cells))):
            cells[i] = (cells[i][0], ink.text + tone)
    for at, glyph, tone in ((cliff, "┊", ink.cliff), (k, "│", ink.accent)):
        if at is not None and ks.start(at) < len(cells):
            old = cells[ks.start(at)][0]
            cells[ks.start(at)] = (glyph if old in " \u2800" else old, tone)
    return [Segment(c, tone) for c, tone in cells]


def _answers(ink: Ink, width: int, ks: Ks, curve: Curve, k: int) -> Strip:
    """One mark per K: full where the answer stays the same, empty where it differs, a dot where it is unknown."""
    marks: list[Part] = [(" ", ink.text)] * ks.used
    worst: dict[int, bool | None] = {}
    for i, same in enumerate(curve.same):
        cell = ks.start(i)
        # Of several K in one cell, one that differs must show.
        worst[cell] = same if cell not in worst or (worst[cell] is not False and same is not True) else worst[cell]
    for cell, same in worst.items():
        glyph, tone = {True: ("●", ink.groups[3]), False: ("○", ink.groups[1]), None: ("·", ink.dim)}[same]
        marks[cell] = (glyph, ink.accent if cell == ks.start(k) else tone)
    return line(ink, width, (f"{'same':>{AXIS_CELLS - 1}} ", ink.dim), *marks).simplify()


def _axis(ink: Ink, width: int, ks: Ks, curve: Curve, k: int) -> Strip:
    wanted = wanted_labels(ks.count, (ks.used - 1) / ks.layers, (k, curve.cliff))
    placed = place_labels(ks, wanted, width - AXIS_CELLS)
    parts: list[Part] = [(f"{'K':>{AXIS_CELLS - 1}} ", ink.dim)]
    at = 0
    for cell, text in placed:
        tone = ink.mark if text == str(k) else ink.cliff if text == str(curve.cliff) else ink.dim
        parts += [(" " * (cell - at), ink.text), (text, tone)]
        at = cell + len(text)
    return line(ink, width, *parts)


def _stretches(values: NDArray[np.floating]) -> list[tuple[int, int]]:
    """First and last index of each run of known values."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    edges = np.flatnonzero(np.diff(known.astype(int)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[0::2], edges[1::2], strict=True)]


def nats(value: float) -> str:
    """A number of nats in at most four cells, up to 9,999; a true minus."""
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{size:.0f}" if size >= 100 or value <= -10 else f"{size:.1f}" if size >= 10 or value < 0 else f"{size:.2f}"
    return f"−{text}" if value < 0 and float(text) else text


def _rgb(tone: Style) -> Rgb:
    triplet = tone.color.get_truecolor() if tone.color is not None else ColorTriplet(128, 128, 128)
    return triplet.red, triplet.green, triplet.blue
