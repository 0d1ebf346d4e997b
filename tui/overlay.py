"""A map over the picture it belongs to, at the picture's own resolution, cell by cell with nothing in between."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowtui.engine.results import Tokens

from .draw.fields import blend

OPACITY = 0.6


def overlay(picture: Image.Image, tokens: Tokens, values: NDArray[Any], image: int = 0) -> Image.Image:
    """Blends a map over one of the prompt's images; each cell covers exactly the pixels that its token saw.

    Args:
        picture: The image, upright, RGB.
        tokens: The sequence; its spans say which pixels each grid covers.
        values: [n] values over image tokens, >= 0. Divided by the largest cell of this image's grids; where all are
            zero the picture comes back as it is.
        image: Index of the image in the prompt.

    Returns:
        A new RGB image of the picture's size. Where tiles and a whole-image view overlap, the later span (the
        processors put the whole image first) shows.
    """
    rgb = np.asarray(picture.convert("RGB"))
    field = cell_field(tokens, values, image, picture.size)
    top = float(np.nanmax(field, initial=0.0))
    return Image.fromarray(blend(rgb, field / top, OPACITY) if top > 0 else rgb)


def highest(tokens: Tokens, values: NDArray[Any], image: int, size_px: tuple[int, int]) -> float:
    """The largest value that an image's overlay shows: the end of its colours."""
    return float(np.nanmax(cell_field(tokens, values, image, size_px), initial=0.0))


def cell_field(tokens: Tokens, values: NDArray[Any], image: int, size_px: tuple[int, int]) -> NDArray[np.float32]:
    """The value at each pixel of an image of (width, height): [height width] float32, NaN where no token looks."""
    width, height = size_px
    field = np.full((height, width), np.nan, dtype=np.float32)
    for span in tokens.spans:
        found = tokens.grid_of(span)
        if span.image != image or found is None:
            continue
        down, across, (left, top, right, bottom) = found
        if not (right > left and bottom > top):
            continue
        ys, rows = _cells(top, bottom, down, height)
        xs, cols = _cells(left, right, across, width)
        field[np.ix_(ys, xs)] = tokens.on_grid(values, span)[np.ix_(rows, cols)]
    return field


def _cells(start: float, end: float, count: int, size_px: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels whose centre lies in start..end, and the one of `count` equal cells that each belongs to."""
    pixels = np.arange(size_px, dtype=np.intp)
    pixels = pixels[(pixels + 0.5 >= start) & (pixels + 0.5 < end)]
    cells = np.floor((pixels + 0.5 - start) * count / (end - start)).astype(np.intp)
    return pixels, np.clip(cells, 0, count - 1)
