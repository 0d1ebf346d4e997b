"""Maps against what is known of an image: does the peak point at the object, and how much of the map lies on it.

Source: Zhang et al. 2018, "Top-down Neural Attention by Excitation Backprop" (the pointing game; departure: no margin
around the object). Both are taken over the grid cells that look at the mask's image; tiles and a view of the whole
image count side by side. A cell is judged by the part of its rectangle that lies on the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import Run, Span, Tokens
from flowtui.errors import UsageError

from .content.grids import MAP_OF
from .content.parts import Summary, each, layers_of

FAR_PX = 1e9
"""A rectangle that reaches further is cut there: nothing of a picture lies beyond."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels of one of a run's images are the object.

    Attributes:
        image: Index of the image in the prompt.
        inside: [height width] bool, of the original image's size.
    """

    image: int
    inside: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one span that look at a mask's image.

    Attributes:
        span: The span.
        inside: [rows cols] float64, 0 to 1: part of each cell's rectangle, as far as that is on the image, that lies in
            the mask; 0 for a cell beside the image.
        hit: [rows cols] bool: the centre of that rectangle lies in the mask.
    """

    span: Span
    inside: NDArray[np.float64]
    hit: NDArray[np.bool_]


def mask_of_box(run: Run, box_px: Sequence[int], image: int = 0) -> Mask:
    """The mask of a box (left, top, right, bottom), right and bottom exclusive.

    Raises:
        UsageError: There is no such image, or the box is empty or not on it.
    """
    width, height = image_size(run, image)
    left, top, right, bottom = box_px
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise UsageError(
            f"The box {left},{top},{right},{bottom} does not fit image {image + 1}: it is {width} x {height} pixels.",
            "Give left, top, right and bottom in its pixels; right and bottom are one past the last.",
        )
    inside = np.zeros((height, width), dtype=np.bool_)
    inside[top:bottom, left:right] = True
    return Mask(image, inside)


def mask_of_pixels(run: Run, inside: NDArray[np.bool_], image: int = 0) -> Mask:
    """The mask given by its pixels, [height width].

    Raises:
        UsageError: There is no such image, it has another size, or the mask marks nothing.
    """
    width, height = image_size(run, image)
    if inside.shape != (height, width):
        raise UsageError(
            f"The mask is {inside.shape[1]} x {inside.shape[0]} pixels, image {image + 1} is {width} x {height}.",
            "Give a mask of the original image's size.",
        )
    if not inside.any():
        raise UsageError("The mask marks no object: every pixel is zero.", "Pixels of the object must not be zero.")
    return Mask(image, inside)


def image_size(run: Run, image: int) -> tuple[int, int]:
    """(width, height) of one of the run's images, in pixels.

    Raises:
        UsageError: There is no such image.
    """
    count = len(run.image_sizes)
    if not 0 <= image < count:
        one = "The run has one image" if count == 1 else f"The run has images 1 to {count}"
        raise UsageError(f"There is no image {image + 1}. {one}.", "Images count from 1, in the prompt's order.")
    return run.image_sizes[image]


def find_cells(tokens: Tokens, mask: Mask) -> list[Cells]:
    """The cells of every grid over the mask's image; none where its tokens have no grid."""
    # Sums over all pixels above and left of each corner: the area of any rectangle is four look-ups. A mask does not
    # change inside a pixel, so that reading between corners is exact too.
    height, width = mask.inside.shape
    sums = np.zeros((height + 1, width + 1), dtype=np.int32)
    np.cumsum(mask.inside, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    found = []
    for span in tokens.spans:
        grid = tokens.grid_of(span)
        if span.image != mask.image or grid is None:
            continue
        down, across, box_px = grid
        left, top, right, bottom = np.clip(box_px, -FAR_PX, FAR_PX)
        if not (right > left and bottom > top):
            continue
        ys, xs = _edges(top, bottom, down, height), _edges(left, right, across, width)
        corners = _between(_between(sums, ys).T, xs).T
        covered = np.diff(np.diff(corners, axis=0), axis=1)
        area = np.outer(np.diff(ys), np.diff(xs))
        inside = np.divide(covered, area, out=np.zeros_like(area), where=area > 0)
        rows, cols = (np.minimum((e[:-1] + e[1:]) / 2, n - 1).astype(np.intp) for e, n in ((ys, height), (xs, width)))
        found.append(Cells(span, inside, mask.inside[np.ix_(rows, cols)] & (area > 0)))
    return found


def judge(tokens: Tokens, cells: Sequence[Cells], values: NDArray[Any]) -> tuple[bool | None, float | None]:
    """Judges one map.

    Args:
        tokens: The sequence.
        cells: From `find_cells`.
        values: [n] over image tokens, >= 0.

    Returns:
        Whether the centre of the hottest cell lies in the mask (of equal cells the first in reading order wins), and
        the part of the map's sum that does, 0 to 1. None where the map is zero at every cell.
    """
    hit: bool | None = None
    highest = total = inside = 0.0
    for some in cells:
        grid = np.asarray(tokens.on_grid(values, some.span), dtype=np.float64)
        if float(grid.max()) > highest:
            highest = float(grid.max())
            hit = bool(some.hit.flat[int(grid.argmax())])
        total += float(grid.sum())
        inside += float((grid * some.inside).sum())
    return hit, inside / total if total > 0 else None


def judge_run(run: Run, mask: Mask, layer: int | None = None) -> dict[str, Summary]:
    """Pointing and mass inside of every map that the run has.

    Args:
        run: The run.
        mask: What is known.
        layer: Only this layer, or all.

    Returns:
        Analysis -> `pointing` and `mass_in_box`, lists over layers; None for a missing layer or a map of zeros.
    """
    cells = find_cells(run.tokens, mask)
    made = {}
    for name, map_of in MAP_OF.items():
        if name in run.analyses:
            maps = each(run.analyses[name], layers_of(run, name, layer), map_of)
            judged = [(None, None) if values is None else judge(run.tokens, cells, values) for values in maps]
            made[name] = {"pointing": [j[0] for j in judged], "mass_in_box": [j[1] for j in judged]}
    return made


def _edges(start: float, end: float, count: int, size_px: int) -> NDArray[np.float64]:
    """Edges of `count` equal cells from start to end, cut to the image: [count + 1] float64."""
    return np.clip(start + (end - start) * np.arange(count + 1) / count, 0, size_px)


def _between(sums: NDArray[Any], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of [size+1 ...] at places from 0 to size, straight lines between them."""
    low = np.minimum(at.astype(np.intp), len(sums) - 2)
    part = (at - low).reshape(-1, 1)
    return np.asarray(sums[low] * (1 - part) + sums[low + 1] * part)
