"""Layouts of families with grids that follow the image's size."""

from __future__ import annotations

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
    spans = tuple(_grid(cursor, i, rows, cols, _whole(seen, i)) for i, (rows, cols) in enumerate(grids))
    cursor.finish()
    return spans


def _grid(cursor: Cursor, image: int, rows: int, cols: int, box_px: Box) -> Span:
    """The next rows x cols image tokens; the same number of other tokens may stand between all rows."""
    starts = [cursor.take(cols) for _ in range(rows)]
    stride = starts[1] - starts[0] if rows > 1 else cols
    if starts != list(range(starts[0], starts[0] + rows * stride, stride)):
        raise cursor.refusal(f"the {rows} rows of image {image + 1} are not equally far apart")
    return Span(image, starts[0], starts[-1] + cols, rows, cols, stride, box_px)


def _whole(seen: Seen, image: int) -> Box:
    width, height = seen.image_sizes[image]
    return (0.0, 0.0, float(width), float(height))


LAYOUTS: dict[str, Layout] = {
    "glm4v": merged_patches,
    "glm4v_moe": merged_patches,
    "qwen2_5_vl": merged_patches,
    "qwen2_vl": merged_patches,
    "qwen3_5": merged_patches,
    "qwen3_5_moe": merged_patches,
    "qwen3_vl": merged_patches,
    "qwen3_vl_moe": merged_patches,
}
