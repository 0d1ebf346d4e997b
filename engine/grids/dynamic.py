"""Layouts of families with grids that follow the image's size."""

from __future__ import annotations

import math

from flowtui.engine.results import Span

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
    "ovis2": ovis2,
    "qwen2_5_vl": merged_patches,
    "qwen2_vl": merged_patches,
    "qwen3_5": merged_patches,
    "qwen3_5_moe": merged_patches,
    "qwen3_vl": merged_patches,
    "qwen3_vl_moe": merged_patches,
}
