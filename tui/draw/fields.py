"""Photos and heat on one pixel canvas: where each image lies, what covers it, and how the two are blended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowtui.engine.results import Span, Tokens

from .colours import colour
from .ink import Rgb

GAP_PX = 2
"""Pixels between images that stand side by side."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Photos scaled to the pixels of a panel.

    Attributes:
        rgb: [height width 3] uint8.
        rects: Per image (left, top, width, height) in canvas pixels.
        sizes: Per image (width, height) in its own pixels.
    """

    rgb: NDArray[np.uint8]
    rects: tuple[tuple[int, int, int, int], ...]
    sizes: tuple[tuple[int, int], ...]


def aspect(sizes: Sequence[tuple[int, int]]) -> float:
    """Width over height of all images side by side at one height."""
    return max(0.05, min(20.0, sum(width / max(1, height) for width, height in sizes)))


def fit_cells(ratio: float, width: int, height: int) -> tuple[int, int]:
    """The largest (width, height) in cells of this ratio inside the given ones; a cell is twice as high as wide."""
    rows = min(height, max(1, round(width / ratio / 2)))
    return max(1, min(width, round(rows * 2 * ratio))), max(1, rows)


def make_canvas(
    photos: Sequence[Image.Image], sizes: Sequence[tuple[int, int]], size_px: tuple[int, int], back: Rgb
) -> Canvas:
    """Draws the photos side by side into (width, height) pixels."""
    width, height = size_px
    rgb = np.empty((height, width, 3), dtype=np.uint8)
    rgb[:] = back
    gap = GAP_PX if width >= 8 * len(sizes) else 0
    room = max(len(sizes), width - gap * (len(sizes) - 1))
    ratios = np.array([w / max(1, h) for w, h in sizes])
    edges = np.rint(np.concatenate([[0], np.cumsum(ratios / ratios.sum())]) * room).astype(int)
    rects = []
    for i, photo in enumerate(photos):
        left = min(int(edges[i]) + gap * i, width - 1)
        wide = max(1, min(int(edges[i + 1] - edges[i]), width - left))
        rgb[:, left : left + wide] = np.asarray(photo.resize((wide, height), Image.Resampling.LANCZOS))
        rects.append((left, 0, wide, height))
    return Canvas(rgb, tuple(rects), tuple(sizes))


def heat_field(canvas: Canvas, tokens: Tokens, values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values over image tokens as a field over the canvas.

    Args:
        canvas: Where the images are.
        tokens: The sequence, with its grids.
        values: [n] over the image tokens.

    Returns:
        [height width] float32, values interpolated between patch centres (averaged where the grid is finer than the
        pixels); NaN where no token looks. Where tiles and a whole-image view overlap, their mean.
    """
    height, width = canvas.rgb.shape[:2]
    total = np.zeros((height, width), dtype=np.float32)
    count = np.zeros((height, width), dtype=np.float32)
    for span in tokens.spans:
        place = _place(canvas, tokens, span)
        if place is None:
            continue
        left, top, wide, high = place
        grid = np.asarray(tokens.on_grid(values, span), dtype=np.float32)
        made = np.asarray(Image.fromarray(grid).resize((wide, high), Image.Resampling.BILINEAR))
        total[top : top + high, left : left + wide] += made
        count[top : top + high, left : left + wide] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _place(canvas: Canvas, tokens: Tokens, span: Span) -> tuple[int, int, int, int] | None:
    """A span's rectangle on the canvas, at least a pixel large and inside; None without a grid."""
    found = tokens.grid_of(span)
    if found is None or not 0 <= span.image < len(canvas.rects):
        return None
    left, top, wide, high = canvas.rects[span.image]
    width_px, height_px = canvas.sizes[span.image]
    box = np.nan_to_num(np.asarray(found[2], dtype=np.float64), posinf=0, neginf=0)
    unit = np.clip(box / (width_px, height_px, width_px, height_px), 0, 1)
    x0, x1 = (left + min(round(float(v) * wide), wide) for v in (unit[0], unit[2]))
    y0, y1 = (top + min(round(float(v) * high), high) for v in (unit[1], unit[3]))
    x0, y0 = min(x0, left + wide - 1), min(y0, top + high - 1)
    return x0, y0, max(1, x1 - x0), max(1, y1 - y0)


def blend(
    rgb: NDArray[np.uint8], field: NDArray[np.floating] | None, opacity: float, name: str = "inferno"
) -> NDArray[np.uint8]:
    """Lays heat over a photo.

    The photo fades towards a darker grey as the heat gets opaque, and heat covers it more where it is stronger: cold
    parts keep showing what is there, hot parts show the map's colours. At opacity 1 only the map's colours remain.

    Args:
        rgb: [height width 3] photo.
        field: [height width] in 0..1, NaN where nothing looks; None for no heat.
        opacity: 0 shows the photo alone, 1 the heat alone.
        name: Colour map.

    Returns:
        [height width 3] uint8.
    """
    if field is None or opacity <= 0:
        return rgb
    base = faded(rgb, opacity)
    value = np.clip(np.nan_to_num(field), 0, 1)
    alpha = np.where(np.isfinite(field), cover(value, opacity), 0)[..., None]
    mixed = base + (colour(value, name).astype(np.float32) - base) * alpha
    return np.asarray(np.clip(np.rint(mixed), 0, 255), dtype=np.uint8)


def faded(rgb: NDArray[np.uint8], opacity: float) -> NDArray[np.float32]:
    """The photo as it lies under heat of that opacity: greyer and darker, [height width 3] in 0..255."""
    base = rgb.astype(np.float32)
    grey = base @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.asarray((base + (grey[..., None] - base) * (0.6 * opacity)) * (1 - 0.45 * opacity), dtype=np.float32)


def cover(heat: NDArray[np.floating], opacity: float) -> NDArray[np.floating]:
    """How much of the photo heat in 0..1 hides, 0 nothing .. 1 all."""
    return np.ones_like(heat) if opacity >= 1 else opacity * np.clip(0.1 + 1.3 * heat, 0, 1)


def cell_box(canvas: Canvas, tokens: Tokens, span: Span, row: int, col: int) -> tuple[int, int, int, int] | None:
    """A grid cell's rectangle on the canvas (left, top, right, bottom), at least a pixel large; None without a grid."""
    place, grid = _place(canvas, tokens, span), tokens.grid_of(span)
    if place is None or grid is None:
        return None
    left, top, wide, high = place
    x0, y0 = left + col * wide // grid[1], top + row * high // grid[0]
    x1, y1 = left + -(-(col + 1) * wide // grid[1]), top + -(-(row + 1) * high // grid[0])
    return x0, y0, max(x0 + 1, x1), max(y0 + 1, y1)
