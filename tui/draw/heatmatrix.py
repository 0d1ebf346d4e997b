"""A matrix as coloured cells: its columns on shared `Columns`, its rows one or more lines high, or two in one line."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from .character import glyphs, readable
from .colours import colour
from .columns import Columns
from .ink import Ink, Rgb
from .spark import MISSING

STEPS = 64
"""Colours apart are told from each other no better by more; fewer make more cells alike."""
GROUND = -1
"""The packed colour of a cell that holds nothing."""


def matrix_lines(
    ink: Ink,
    values: NDArray[np.floating],
    columns: Columns,
    *,
    palette: str = "inferno",
    plain: bool = False,
    halves: bool = False,
) -> list[Strip]:
    """Draws a matrix, one line a row.

    Args:
        ink: Colours.
        values: [rows columns.count] in 0..1, NaN where nothing is known.
        columns: Where the columns lie; those that share a cell are averaged.
        palette: Colour map.
        plain: Draw glyphs that tell the value without colour.
        halves: Two rows a line, in the upper and the lower half of its cells; not with `plain`.

    Returns:
        A strip of `columns.used` cells for each row, or each two rows. What is not known is a dot.
    """
    spread = np.array([columns.spread(row) for row in np.asarray(values, dtype=np.float64)])
    spread = spread.reshape(len(values), columns.used)
    # Rounded up, so that what is above zero never looks like zero.
    spread = np.ceil(np.clip(spread, 0, 1) * STEPS) / STEPS
    if plain:
        return _plain(ink, spread, palette)
    packed = _packed(colour(spread, palette), spread)
    if not halves:
        return [_line(ink, row, row, " ") for row in packed]
    if len(packed) % 2:
        packed = [*packed, [GROUND] * columns.used]
    return [_line(ink, above, below, "▀") for above, below in zip(packed[::2], packed[1::2], strict=True)]


def mark(ink: Ink, strip: Strip, start: int, end: int) -> Strip:
    """The strip with cells [start, end) marked as the current ones, readable without colour."""
    width = end - start
    inside = strip.crop(start, end).text[1:-1]
    text = "○" if width == 1 else f"[{inside}]"
    return Strip.join([strip.crop(0, start), Strip([Segment(text, ink.mark)], width), strip.crop(end)])


def _packed(rgb: NDArray[np.uint8], values: NDArray[np.float64]) -> list[list[int]]:
    """Colours as one number each: two bits less make neighbours alike, and lines shorter to send."""
    numbers = (rgb & 0xFC).astype(np.int32) @ np.array([65536, 256, 1])
    return np.where(np.isfinite(values), numbers, GROUND).tolist()  # type: ignore[no-any-return]


def _line(ink: Ink, above: list[int], below: list[int], glyph: str) -> Strip:
    segments = []
    for (upper, lower), run in groupby(zip(above, below, strict=True)):
        count = sum(1 for _ in run)
        if upper == lower == GROUND:
            segments.append(Segment(MISSING * count, ink.dim))
        else:
            segments.append(Segment(glyph * count, _style(upper, lower, ink.background)))
    return Strip(segments, len(above))


def _plain(ink: Ink, values: NDArray[np.float64], palette: str) -> list[Strip]:
    packed = _packed(readable(colour(values, palette), ink.background), values)
    strips = []
    for text, shades in zip(glyphs(values), packed, strict=True):
        segments = []
        for shade, run in groupby(zip(text, shades, strict=True), key=lambda pair: pair[1]):
            cells = "".join(glyph for glyph, _ in run)
            known = shade != GROUND
            segments.append(
                Segment(
                    cells if known else MISSING * len(cells), _ink_style(shade, ink.background) if known else ink.dim
                )
            )
        strips.append(Strip(segments, len(text)))
    return strips


@lru_cache(maxsize=1 << 14)
def _style(upper: int, lower: int, background: Rgb) -> Style:
    """The upper half in the foreground; a blank cell shows only the lower colour."""
    return Style.from_color(_colour(upper, background), _colour(lower, background))


@lru_cache(maxsize=1 << 12)
def _ink_style(shade: int, background: Rgb) -> Style:
    return Style.from_color(_colour(shade, background), Color.from_rgb(*background))


def _colour(packed: int, background: Rgb) -> Color:
    return (
        Color.from_rgb(*background)
        if packed == GROUND
        else Color.from_rgb(packed >> 16, packed >> 8 & 255, packed & 255)
    )
