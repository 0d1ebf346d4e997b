"""Layouts of the any-resolution LLaVA families: a base view, then one large map cut from a grid of tiles.

The image is scaled into a canvas of tiles and padded evenly. The tiles' features are put together to one map, the
padding is cut off in whole cells, a large map is shrunk (OneVision), and a newline token ends each row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from transformers.image_processing_utils import select_best_resolution

from flowtui.engine.results import Span

from .cursor import Cursor
from .seen import Layout, Seen

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class _Tower:
    """What the vision tower makes of one tile: `cells` x `cells` patches of `patch_px`, on a tile of `tile_px`."""

    tile_px: int
    patch_px: int

    @property
    def cells(self) -> int:
        return self.tile_px // self.patch_px

    @property
    def covered(self) -> float:
        """Share of a tile's side that its patches cover; the rest, at the right and the bottom, no cell sees."""
        return self.cells * self.patch_px / self.tile_px


def anyres(seen: Seen) -> tuple[Span, ...]:
    """Base view and unpadded map of every image; only a base view where several images share the prompt's budget."""
    vision = seen.config.vision_config
    tower = _Tower(int(vision.image_size), int(vision.patch_size))
    most_tiles = _most_tiles(seen)
    single = _views_only(seen)
    cursor = Cursor(seen)
    spans: list[Span] = []
    for image, size in enumerate(seen.image_sizes):
        base = tower.cells**2
        if single[image]:
            # A newline token closes the lone view: no cell.
            start = cursor.take(base + 1)
            box = _padded_square(size, tower.covered)
            spans.append(Span(image, start, start + base + 1, tower.cells, tower.cells, tower.cells, box))
            continue
        height, width = select_best_resolution((size[1], size[0]), seen.config.image_grid_pinpoints)
        rows, cols, box = _unpadded(size, (width, height), tower)
        rows, cols = _shrunk(rows, cols, tower.cells, most_tiles)
        start = cursor.take(base + rows * (cols + 1))
        whole = (0.0, 0.0, size[0] * tower.covered, size[1] * tower.covered)
        spans.append(Span(image, start, start + base, tower.cells, tower.cells, tower.cells, whole))
        start += base
        spans.append(Span(image, start, start + rows * (cols + 1), rows, cols, cols + 1, box))
    cursor.finish()
    return tuple(spans)


def _most_tiles(seen: Seen) -> int | None:
    """From "anyres_max_9" the 9: a map of more cells than that many tiles have is shrunk. None: never."""
    name = getattr(seen.config, "vision_aspect_ratio", None)
    digits = str(name).removeprefix("anyres_max_") if name else ""
    return int(digits) if digits.isdigit() else None


def _views_only(seen: Seen) -> list[bool]:
    """Of each image, whether it comes as one padded view: where the processor was given several as one sample."""
    counts = seen.prompt.get("batch_num_images")
    if counts is None:
        return [False] * len(seen.image_sizes)
    return [count != 1 for count in counts.flatten().tolist() for _ in range(count)]


def _padded_square(size: tuple[int, int], covered: float) -> Box:
    """The rectangle of a view that was padded to a square before it was resized."""
    width, height = size
    side = max(size)
    left, top = -((side - width) // 2), -((side - height) // 2)
    return (float(left), float(top), left + side * covered, top + side * covered)


def _unpadded(size: tuple[int, int], canvas: tuple[int, int], tower: _Tower) -> tuple[int, int, Box]:
    """The map of a canvas of tiles without its padding.

    Args:
        size: (width, height) of the original.
        canvas: (width, height) of the tiles together, in pixels.
        tower: The vision tower.

    Returns:
        Rows, columns, and the rectangle in pixels of the original. The cells lie evenly in it; where a tile's patches
        leave a margin, cells beside the seam between two tiles are off by less than that margin.
    """
    width, height = size
    # The processor scales the image to the canvas' tighter side and centres it.
    by_width = canvas[0] / width < canvas[1] / height
    scaled = (
        (canvas[0], min(math.ceil(height * (canvas[0] / width)), canvas[1]))
        if by_width
        else (min(math.ceil(width * (canvas[1] / height)), canvas[0]), canvas[1])
    )
    left, top = (canvas[0] - scaled[0]) // 2, (canvas[1] - scaled[1]) // 2
    # The model counts the padding anew, in cells, from the aspect ratio.
    cols, rows = canvas[0] // tower.tile_px * tower.cells, canvas[1] // tower.tile_px * tower.cells
    cut_x = cut_y = 0
    if width / height > cols / rows:
        cut_y = (rows - int(round(height * (cols / width), 7))) // 2
    else:
        cut_x = (cols - int(round(width * (rows / height), 7))) // 2
    # From the first patch's edge to the last one's.
    margin = tower.tile_px * (1 - tower.covered)
    cell_x, cell_y = (canvas[0] - margin) / cols, (canvas[1] - margin) / rows
    scale_x, scale_y = scaled[0] / width, scaled[1] / height
    box = (
        (cut_x * cell_x - left) / scale_x,
        (cut_y * cell_y - top) / scale_y,
        ((cols - cut_x) * cell_x - left) / scale_x,
        ((rows - cut_y) * cell_y - top) / scale_y,
    )
    return rows - 2 * cut_y, cols - 2 * cut_x, box


def _shrunk(rows: int, cols: int, cells: int, most_tiles: int | None) -> tuple[int, int]:
    """Rows and columns after a map of too many cells was interpolated to fewer, over the same rectangle."""
    if most_tiles is None:
        return rows, cols
    ratio = math.sqrt(rows * cols / (most_tiles * cells**2))
    return (int(rows // ratio), int(cols // ratio)) if ratio > 1.1 else (rows, cols)


LAYOUTS: dict[str, Layout] = {"llava_next": anyres, "llava_onevision": anyres}
