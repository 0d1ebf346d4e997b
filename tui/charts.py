"""Line charts over layers as SVG and PNG: laid out once as lines and labels, then written in either form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from PIL import Image, ImageDraw, ImageFont

from .text import visible

WIDTH_PX, HEIGHT_PX = 760, 420
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 64, 140, 40, 48
FONT_PX = 13
# Okabe & Ito's colours: told apart by colour-blind eyes and in print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, FAINT = "#222222", "#d8d8d8"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        title: Above the plot.
        x_label, y_label: Names of the axes, with the unit.
        series: Name -> a value for x = 0, 1, 2, ...; None leaves a gap.
        mark: x of a vertical line, or None.
        mark_label: Text at that line.
    """

    title: str
    x_label: str
    y_label: str
    series: Mapping[str, Sequence[float | None]]
    mark: float | None = None
    mark_label: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    points: tuple[Point, ...]
    colour: str
    width_px: float


@dataclass(frozen=True, slots=True)
class _Label:
    at: Point
    text: str
    anchor: Literal["start", "middle", "end"]
    colour: str = INK


def to_svg(chart: Chart) -> str:
    """The chart as an SVG document."""
    body = []
    for item in _layout(chart):
        if isinstance(item, _Label):
            x, y = item.at
            body.append(
                f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{item.anchor}" dominant-baseline="middle" '
                f'fill="{item.colour}">{escape(visible(item.text))}</text>'
            )
        else:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in item.points)
            body.append(
                f'<polyline points="{points}" fill="none" stroke="{item.colour}" stroke-width="{item.width_px:g}"/>'
            )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" '
            f'font-family="sans-serif" font-size="{FONT_PX}" role="img" aria-label={quoteattr(visible(chart.title))}>',
            '<rect width="100%" height="100%" fill="white"/>',
            *body,
            "</svg>\n",
        )
    )


def to_image(chart: Chart, scale: int = 2) -> Image.Image:
    """The chart as an RGB image, `scale` pixels to a unit."""
    image = Image.new("RGB", (WIDTH_PX * scale, HEIGHT_PX * scale), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(FONT_PX * scale)
    for item in _layout(chart):
        if isinstance(item, _Label):
            anchor = {"start": "lm", "middle": "mm", "end": "rm"}[item.anchor]
            at = (item.at[0] * scale, item.at[1] * scale)
            draw.text(at, visible(item.text), fill=item.colour, font=font, anchor=anchor)
        else:
            points = [(x * scale, y * scale) for x, y in item.points]
            draw.line(points, fill=item.colour, width=round(item.width_px * scale), joint="curve")
    return image


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers that cover low..high, `about` as many as asked for; at least two."""
    if not high > low:
        high = low + 1
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _layout(chart: Chart) -> list[_Line | _Label]:
    values = [v for series in chart.series.values() for v in series if v is not None]
    y_ticks = ticks(min([0.0, *values]), max([0.0, *values]))
    last = max([len(s) for s in chart.series.values()], default=1) - 1
    right, bottom = WIDTH_PX - RIGHT_PX, HEIGHT_PX - BOTTOM_PX

    def x_px(x: float) -> float:
        return LEFT_PX + (right - LEFT_PX) * x / max(1, last)

    def y_px(y: float) -> float:
        return bottom - (bottom - TOP_PX) * (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])

    items: list[_Line | _Label] = []
    for y in y_ticks:
        items.append(_Line(((LEFT_PX, y_px(y)), (right, y_px(y))), FAINT, 1))
        items.append(_Label((LEFT_PX - 8, y_px(y)), f"{y:.6g}", "end"))
    every = max(1, math.ceil((last + 1) / 16))
    items += [_Label((x_px(x), bottom + 14), str(x), "middle") for x in range(0, last + 1, every)]
    items.append(_Label(((LEFT_PX + right) / 2, HEIGHT_PX - 12), chart.x_label, "middle"))
    items.append(_Label((LEFT_PX - 52, TOP_PX - 22), chart.y_label, "start"))
    items.append(_Label(((LEFT_PX + right) / 2, 14), chart.title, "middle"))
    if chart.mark is not None:
        items.append(_Line(((x_px(chart.mark), TOP_PX), (x_px(chart.mark), bottom)), INK, 1))
        items.append(_Label((x_px(chart.mark), TOP_PX - 9), chart.mark_label, "middle"))
    for i, (name, series) in enumerate(chart.series.items()):
        colour = COLOURS[i % len(COLOURS)]
        for start, piece in _pieces(series):
            points = [(x_px(start + j), y_px(v)) for j, v in enumerate(piece)]
            # A lone value would be a line without length, which draws nothing.
            points = points if len(points) > 1 else [(points[0][0] - 2, points[0][1]), (points[0][0] + 2, points[0][1])]
            items.append(_Line(tuple(points), colour, 2))
        items.append(_Line(((right + 12, TOP_PX + 20 * i), (right + 30, TOP_PX + 20 * i)), colour, 2))
        items.append(_Label((right + 36, TOP_PX + 20 * i), name, "start"))
    return items


def _pieces(series: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """Runs of values without a gap, each with the index it starts at."""
    pieces: list[tuple[int, list[float]]] = []
    gap = True
    for i, value in enumerate(series):
        if value is not None:
            if gap:
                pieces.append((i, []))
            pieces[-1][1].append(value)
        gap = value is None
    return pieces
