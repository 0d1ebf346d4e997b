"""Which token is which: image grids with their place in the picture, and the four token groups."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.errors import UnsupportedModelError

from .results import GROUPS, Span
from .spec import Grouping

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Resized:
    """How an image processor laid an image into the rectangle the vision tower sees.

    Attributes:
        scale_x, scale_y: Pixels of the seen rectangle per pixel of the original.
        left_px, top_px: Where the original's corner lies in the seen rectangle (negative where it was cropped).
    """

    scale_x: float
    scale_y: float
    left_px: float
    top_px: float

    def to_original(self, box_px: Box) -> Box:
        """Takes a rectangle of the seen image to pixels of the original (outside of it where it was padded)."""
        left, top, right, bottom = box_px
        return (
            (left - self.left_px) / self.scale_x,
            (top - self.top_px) / self.scale_y,
            (right - self.left_px) / self.scale_x,
            (bottom - self.top_px) / self.scale_y,
        )


def resized(image_processor: Any, image_px: tuple[int, int], seen_px: tuple[int, int]) -> Resized:
    """Follows a CLIP or SigLIP style image processor: pad to a square, resize, crop the centre, each only if set.

    Args:
        image_processor: Its settings are read, nothing is called.
        image_px: (width, height) of the original.
        seen_px: (width, height) that the processor gave.
    """
    width, height = image_px
    pad_x = pad_y = 0
    if getattr(image_processor, "do_pad", False) and hasattr(image_processor, "pad_to_square"):
        side = max(width, height)
        pad_x, pad_y = (side - width) // 2, (side - height) // 2
        width = height = side
    new_width, new_height = width, height
    if getattr(image_processor, "do_resize", False):
        size = dict(getattr(image_processor, "size", None) or {})
        if size.get("shortest_edge"):
            short, long = min(width, height), max(width, height)
            edge = int(size["shortest_edge"])
            other = int(edge * long / short)
            new_width, new_height = (edge, other) if width <= height else (other, edge)
        elif size.get("height") and size.get("width"):
            new_width, new_height = int(size["width"]), int(size["height"])
        else:
            new_width, new_height = seen_px
    # A centre crop larger than the image pads it: the same formula, with the sign turned.
    crop_x, crop_y = (new_width - seen_px[0]) // 2, (new_height - seen_px[1]) // 2
    scale_x, scale_y = new_width / width, new_height / height
    return Resized(scale_x, scale_y, pad_x * scale_x - crop_x, pad_y * scale_y - crop_y)


def find_spans(
    image_positions: NDArray[np.int64],
    image_sizes: tuple[tuple[int, int], ...],
    *,
    image_processor: Any,
    seen_px: tuple[int, int] | None,
    patch_px: int | None,
) -> tuple[Span, ...]:
    """Cuts the image tokens into images and finds each one's grid.

    Args:
        image_positions: [n] int64, rising.
        image_sizes: (width, height) of each original image.
        image_processor: The processor's image part.
        seen_px: (width, height) of one processed image where all are one rectangle each, or None.
        patch_px: Patch size of the vision tower, or None.

    Returns:
        One span per image where the tokens divide evenly; where they do not, one span without grid per contiguous run.

    Raises:
        UnsupportedModelError: There are no image tokens.
    """
    if len(image_positions) == 0:
        raise UnsupportedModelError(
            "No image token stands in the prompt that the model's processor made.", "Its chat template may lack images."
        )
    images, rest = len(image_sizes), len(image_positions) % len(image_sizes)
    each = len(image_positions) // images
    blocks = image_positions[: each * images].reshape(images, each) if not rest else None
    if blocks is None or (blocks[:, -1] - blocks[:, 0] != each - 1).any():
        cuts = np.flatnonzero(np.diff(image_positions) != 1) + 1
        return tuple(
            Span(min(i, images - 1), int(run[0]), int(run[-1]) + 1, 0, 0, 0, _whole(image_sizes[min(i, images - 1)]))
            for i, run in enumerate(np.split(image_positions, cuts))
        )
    spans = []
    for i, (block, size) in enumerate(zip(blocks, image_sizes, strict=True)):
        rows, cols, skip, covered = _grid(each, seen_px, patch_px)
        box = _whole(size)
        if rows and covered and seen_px:
            box = resized(image_processor, size, seen_px).to_original((0.0, 0.0, float(covered[0]), float(covered[1])))
        spans.append(Span(i, int(block[0]) + skip, int(block[-1]) + 1, rows, cols, cols, box))
    return tuple(spans)


def _grid(
    tokens: int, seen_px: tuple[int, int] | None, patch_px: int | None
) -> tuple[int, int, int, tuple[int, int] | None]:
    """Rows, columns, leading tokens that are no cell (a class token) and pixels covered; (0, 0, 0, None) if unknown."""
    if seen_px and patch_px:
        cols, rows = seen_px[0] // patch_px, seen_px[1] // patch_px
        # The patches leave a margin at the right and the bottom where the size is no multiple.
        if tokens - rows * cols in (0, 1):
            return rows, cols, tokens - rows * cols, (cols * patch_px, rows * patch_px)
    side = math.isqrt(tokens)
    return (side, side, 0, seen_px) if side * side == tokens else (0, 0, 0, None)


def _whole(size: tuple[int, int]) -> Box:
    return (0.0, 0.0, float(size[0]), float(size[1]))


def find_groups(
    length: int, image_positions: NDArray[np.int64], answer_start: int, grouping: Grouping, user_start: int
) -> NDArray[np.uint8]:
    """Puts every token into one of `GROUPS`.

    Args:
        length: N.
        image_positions: [n] int64.
        answer_start: Position of the first answer token.
        grouping: "paper" takes everything before the first image token as system, "roles" everything before the
            user's turn.
        user_start: Position of the first token of the user's turn.

    Returns:
        [N] uint8.
    """
    start = int(image_positions[0]) if grouping == "paper" else user_start
    group = np.full(length, GROUPS.index("user"), dtype=np.uint8)
    group[:start] = GROUPS.index("system")
    group[image_positions] = GROUPS.index("image")
    group[answer_start:] = GROUPS.index("answer")
    return group
