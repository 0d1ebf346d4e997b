"""Layouts of families with one grid per image, where the path that fits most (`spans.find_spans`) is not exact.

LLaVA, ViP-LLaVA, PaliGemma, Gemma 3 and FastVLM need none: their settings say all.
"""

from __future__ import annotations

import numpy as np

from flowtui.engine.results import Span
from flowtui.engine.spans import Box, Resized, find_spans
from flowtui.errors import UnsupportedModelError

from .seen import Layout, Seen


def padded_square(seen: Seen) -> tuple[Span, ...]:
    """The longer side shrinks or grows to the square's, the rest is padded on both sides: DeepSeek-VL, Janus.

    Unlike LLaVA's, this processor resizes before it pads, each rounded to whole pixels on its own.
    """
    pixels = seen.prompt["pixel_values"]
    seen_px = (int(pixels.shape[-1]), int(pixels.shape[-2]))
    processor = seen.processor.image_processor
    spans = find_spans(
        seen.image_positions, seen.image_sizes, image_processor=processor, seen_px=seen_px, patch_px=None
    )
    return tuple(
        Span(s.image, s.start, s.end, s.rows, s.cols, s.row_stride, _square_box(processor, size, seen_px))
        for s, size in zip(spans, seen.image_sizes, strict=True)
    )


def _square_box(processor: object, size: tuple[int, int], seen_px: tuple[int, int]) -> Box:
    side, least = seen_px[0], int(getattr(processor, "min_size", 0))
    width, height = (max(round(length * (side / max(size))), least) for length in size)
    placed = Resized(width / size[0], height / size[1], (side - width) // 2, (side - height) // 2)
    return placed.to_original((0.0, 0.0, float(side), float(seen_px[1])))


def rows_with_newlines(seen: Seen) -> tuple[Span, ...]:
    """A newline token, which is no placeholder, ends each row of patches: Fuyu.

    Only an image that is larger than the processor's size shrinks; the last row and column reach beyond the image.
    """
    runs = np.split(seen.image_positions, np.flatnonzero(np.diff(seen.image_positions) != 1) + 1)
    cols = len(runs[0])
    start, end = int(seen.image_positions[0]), int(seen.image_positions[-1]) + 1
    regular = start + np.arange(len(runs))[:, None] * (cols + 1) + np.arange(cols)
    if len(seen.image_sizes) != 1 or not np.array_equal(regular.ravel(), seen.image_positions):
        raise UnsupportedModelError("Fuyu's image tokens do not stand in rows of one length.", "Give one image.")
    processor, (width, height) = seen.processor.image_processor, seen.image_sizes[0]
    most_x, most_y = processor.size["width"], processor.size["height"]
    scale = min(most_x / width, most_y / height) if width > most_x or height > most_y else 1.0
    placed = Resized(int(width * scale) / width, int(height * scale) / height, 0.0, 0.0)
    patch_x, patch_y = processor.patch_size["width"], processor.patch_size["height"]
    box = placed.to_original((0.0, 0.0, float(cols * patch_x), float(len(runs) * patch_y)))
    return (Span(0, start, end, len(runs), cols, cols + 1, box),)


LAYOUTS: dict[str, Layout] = {
    "deepseek_vl": padded_square,
    "fuyu": rows_with_newlines,
    "janus": padded_square,
}
