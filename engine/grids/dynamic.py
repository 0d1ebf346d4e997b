"""Layouts of families with grids that follow the image's size."""

from __future__ import annotations

import bisect
import math
import re
import sys
from contextlib import suppress

from flowtui.engine.results import Span
from flowtui.errors import UnsupportedModelError

from .cursor import Cursor
from .seen import Layout, Seen

Box = tuple[float, float, float, float]


def merged_patches(seen: Seen) -> tuple[Span, ...]:
    """Families whose processor tells each image's patches as image_grid_thw: (1, rows, cols) before merging.

    The image is stretched to whole merged patches, so the grid divides it evenly.
    """
    merge = int(seen.processor.image_processor.merge_size)
    cursor = Cursor(seen)
    grids = [(int(rows) // merge, int(cols) // merge) for _, rows, cols in seen.prompt["image_grid_thw"].tolist()]
    spans = tuple(_grid(cursor, i, rows, cols, _part(seen, i, 1, 1, 0, 0)) for i, (rows, cols) in enumerate(grids))
    cursor.finish()
    return spans


def rows_with_breaks(seen: Seen) -> tuple[Span, ...]:
    """Pixtral's tower: a break token, which is no placeholder, ends each row; the image is stretched to whole cells."""
    side = int(seen.processor.patch_size) * int(seen.processor.spatial_merge_size)
    cursor = Cursor(seen)
    grids = [(int(height) // side, int(width) // side) for height, width in seen.prompt["image_sizes"].tolist()]
    spans = tuple(_grid(cursor, i, rows, cols, _part(seen, i, 1, 1, 0, 0)) for i, (rows, cols) in enumerate(grids))
    cursor.finish()
    return spans


def as_told(seen: Seen) -> tuple[Span, ...] | None:
    """The grids of a family without a layout of its own, where its processor tells them as one of these families does.

    Returns:
        None where it does not, or where the image tokens do not fit.
    """
    merge = getattr(getattr(seen.processor, "image_processor", None), "merge_size", None)
    sides = [getattr(seen.processor, name, None) for name in ("patch_size", "spatial_merge_size")]
    with suppress(UnsupportedModelError):
        if "image_grid_thw" in seen.prompt and isinstance(merge, int):
            return merged_patches(seen)
        if "image_sizes" in seen.prompt and all(isinstance(side, int) for side in sides):
            return rows_with_breaks(seen)
    return None


def lfm2_vl(seen: Seen) -> tuple[Span, ...]:
    """Tiles row by row, each behind a token that names its place, then a thumbnail; small images have one grid."""
    merge, names = int(seen.config.downsample_factor), seen.processor.tokenizer.convert_ids_to_tokens(seen.ids.tolist())
    places = [re.fullmatch(r"<\|img_row_(\d+)_col_(\d+)\|>", name) for name in names]
    openings = [i for i, name in enumerate(names) if name == seen.processor.image_start_token]
    cursor, spans = Cursor(seen), []
    for patch_rows, patch_cols in seen.prompt["spatial_shapes"].tolist():
        start = cursor.peek()
        image = bisect.bisect(openings, start) - 1
        if image < 0:
            raise cursor.refusal("no token opens an image")
        closing = names.index(seen.processor.image_end_token, start)
        of_image = [(int(p[1]), int(p[2])) for p in places[openings[image] : closing] if p]
        place = places[start - 1]
        if place:
            rows, cols = max(r for r, _ in of_image), max(c for _, c in of_image)
            left, top, right, bottom = _part(seen, image, rows, cols, int(place[1]) - 1, int(place[2]) - 1)
        else:
            left, top, right, bottom = _part(seen, image, 1, 1, 0, 0)
        rows, cols = math.ceil(patch_rows / merge), math.ceil(patch_cols / merge)
        width, height = (right - left) * cols * merge / patch_cols, (bottom - top) * rows * merge / patch_rows
        spans.append(_grid(cursor, image, rows, cols, (left, top, left + width, top + height)))
    cursor.finish()
    return tuple(spans)


def molmo2(seen: Seen) -> tuple[Span, ...]:
    """The whole image at low resolution, then at a high one in overlapping crops, joined to one grid without overlap.

    Patches are pooled; where they do not come out even, the outer cells reach beyond the image.
    """
    processor = seen.processor.image_processor
    side, patch = int(processor.size["height"]), int(processor.patch_size)
    geometry = sys.modules[type(processor).__module__].compute_crop_geometry
    pool_rows, pool_cols = processor.pooling_size
    cursor, spans = Cursor(seen), []
    for image, (low_rows, low_cols, rows, cols) in enumerate(seen.prompt["image_grids"].tolist()):
        width, height = seen.image_sizes[image]
        canvas = geometry(height, width, processor.max_crops, processor.overlap_margins, side, patch)[2:]
        for (r, c), (high_px, wide_px) in (((low_rows, low_cols), (side, side)), ((rows, cols), canvas)):
            top, bottom = _pooled(height, r, high_px // patch, pool_rows)
            left, right = _pooled(width, c, wide_px // patch, pool_cols)
            spans.append(_grid(cursor, image, r, c, (left, top, right, bottom)))
    cursor.finish()
    return tuple(spans)


def _pooled(length: int, cells: int, patches: int, pool: int) -> tuple[float, float]:
    """Where the first cell starts and the last ends along a side of the image; patches are padded evenly."""
    before = (cells * pool - patches) // 2
    return -before * length / patches, (cells * pool - before) * length / patches


def ovis2(seen: Seen) -> tuple[Span, ...]:
    """The whole image, then tiles row by row where there are several; indicator tokens tell how they lie.

    Each view is one square of equal side, and the image is stretched over all of them.
    """
    tokens, side_px = int(seen.processor.image_seq_length), int(seen.prompt["pixel_values"].shape[-1])
    vision, side = seen.config.vision_config, math.isqrt(tokens)
    # Patches leave a margin at the right and the bottom where a side is no multiple of theirs.
    covered = side * int(vision.hidden_stride) * int(vision.patch_size) / side_px
    names = seen.processor.tokenizer.convert_ids_to_tokens(seen.ids.tolist())
    starts = [i for i, name in enumerate(names) if name == "<IMG_START>"]
    cursor, spans = Cursor(seen), []
    for image, start in enumerate(starts[: len(seen.image_sizes)]):
        own = names[start : names.index("<IMG_END>", start)]
        rows = own.count("<IMG_ROW>") + 1
        cols = own.count("<IMG_COL>") // rows + 1
        boxes = [_part(seen, image, 1, 1, 0, 0)]
        if rows * cols > 1:
            boxes += [_part(seen, image, rows, cols, row, col) for row in range(rows) for col in range(cols)]
        for left, top, right, bottom in boxes:
            box = (left, top, left + (right - left) * covered, top + (bottom - top) * covered)
            spans.append(_grid(cursor, image, side, side, box))
    cursor.finish()
    return tuple(spans)


def _part(seen: Seen, image: int, rows: int, cols: int, row: int, col: int) -> Box:
    """One of rows x cols equal parts of an image."""
    width, height = seen.image_sizes[image]
    return (width * col / cols, height * row / rows, width * (col + 1) / cols, height * (row + 1) / rows)


def _grid(cursor: Cursor, image: int, rows: int, cols: int, box_px: Box) -> Span:
    """The next rows x cols image tokens; the same number of other tokens may stand between all rows."""
    starts = [cursor.take(cols) for _ in range(rows)]
    stride = starts[1] - starts[0] if rows > 1 else cols
    if starts != list(range(starts[0], starts[0] + rows * stride, stride)):
        raise cursor.refusal(f"the {rows} rows of image {image + 1} are not equally far apart")
    return Span(image, starts[0], starts[-1] + cols, rows, cols, stride, box_px)


LAYOUTS: dict[str, Layout] = {
    "glm4v": merged_patches,
    "glm4v_moe": merged_patches,
    "lfm2_vl": lfm2_vl,
    "llava-pixtral": rows_with_breaks,
    "mistral3": rows_with_breaks,
    "molmo2": molmo2,
    "ovis2": ovis2,
    "qwen2_5_vl": merged_patches,
    "qwen2_vl": merged_patches,
    "qwen3_5": merged_patches,
    "qwen3_5_moe": merged_patches,
    "qwen3_vl": merged_patches,
    "qwen3_vl_moe": merged_patches,
}
