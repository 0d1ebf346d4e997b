"""Layouts of families that cut an image into tiles, each with a grid of its own, beside a view of the whole image.

Most stretch the image to a whole number of tiles, so a tile is an exact rectangle of it; Llama 4 keeps the aspect ratio
and pads at the right and the bottom.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any

from flowtui.engine.results import Span

from .anyres import LAYOUTS as ANYRES
from .cursor import Cursor
from .seen import Layout, Seen

Box = tuple[float, float, float, float]
Size = tuple[int, int]
TilesOf = Callable[[Size, Cursor], list[Box]]
"""Of an image of (width, height): the rectangles of its tiles in the order of their tokens. It takes no placeholder."""


def _spans(seen: Seen, tokens: int, tiles_of: TilesOf, patch_px: object = None) -> tuple[Span, ...]:
    """One square grid per tile of every image.

    Args:
        seen: The prompt.
        tokens: Image tokens of a tile.
        tiles_of: Finds an image's tiles.
        patch_px: Side of the vision tower's patches, where its configuration does not tell.
    """
    cursor = Cursor(seen)
    tile_px = int(seen.prompt["pixel_values"].shape[-1])
    patch = _side(seen.config.vision_config.patch_size if patch_px is None else patch_px)
    cells = math.isqrt(tokens)
    if cells < 1 or cells**2 != tokens or tile_px < patch:
        raise cursor.refusal(f"a tile of {tokens} image tokens is no square grid")
    # Patches leave a margin at the right and the bottom where a tile's side is no multiple of theirs.
    covered = tile_px // patch * patch / tile_px
    spans = []
    for image, size in enumerate(seen.image_sizes):
        for left, top, right, bottom in tiles_of(size, cursor):
            start = cursor.take(tokens)
            box = (left, top, left + (right - left) * covered, top + (bottom - top) * covered)
            spans.append(Span(image, start, start + tokens, cells, cells, cells, box))
    cursor.finish()
    return tuple(spans)


def _side(size: Any) -> int:
    """A side in pixels, given as a number or as (height, width)."""
    return int(size[0] if isinstance(size, list | tuple) else size)


def _whole(size: Size) -> Box:
    return (0.0, 0.0, float(size[0]), float(size[1]))


def _stretched(size: Size, rows: int, cols: int) -> list[Box]:
    """Rectangles of rows x cols tiles over an image that was stretched to fill them, row by row."""
    width, height = size[0] / cols, size[1] / rows
    return [(c * width, r * height, (c + 1) * width, (r + 1) * height) for r in range(rows) for c in range(cols)]


def _closest_ratio(seen: Seen) -> TilesOf:
    """Tiles in the arrangement that the processor finds closest to the image, then a thumbnail where there are several.

    The arrangement is asked of the processor's own function: its rule for ties is its own.
    """
    processor = seen.processor.image_processor
    settings = getattr(seen.processor, "images_kwargs", None) or {}
    choose = getattr(sys.modules[type(processor).__module__], "get_optimal_tiled_canvas", None)

    def tiles_of(size: Size, cursor: Cursor) -> list[Box]:
        count = processor.get_number_of_image_patches(size[1], size[0], settings)
        if count == 1:
            return [_whole(size)]
        if choose is None:
            raise cursor.refusal(f"{type(processor).__name__} does not tell how it arranges {count} tiles")
        side = (processor.size.height, processor.size.width)
        fewest, most = (settings.get(name, getattr(processor, name)) for name in ("min_patches", "max_patches"))
        cols, rows = choose((size[1], size[0]), side, fewest, most)
        return [*_stretched(size, rows, cols), _whole(size)]

    return tiles_of


def internvl(seen: Seen) -> tuple[Span, ...]:
    """Tiles, then a thumbnail, all next to each other; pixel shuffle makes one token of several patches."""
    return _spans(seen, int(seen.processor.image_seq_length), _closest_ratio(seen))


def aya_vision(seen: Seen) -> tuple[Span, ...]:
    """As InternVL, with a tile's name before each tile."""
    # The processor's patch is what one token covers, after pixel shuffle.
    return _spans(seen, (int(seen.processor.img_size) // int(seen.processor.patch_size)) ** 2, _closest_ratio(seen))


def cohere2_vision(seen: Seen) -> tuple[Span, ...]:
    """As InternVL, with a token after each tile."""
    # What the processor calls patch_size is the number of tokens along a tile's side.
    return _spans(seen, int(seen.processor.patch_size) ** 2, _closest_ratio(seen))


def idefics3(seen: Seen) -> tuple[Span, ...]:
    """Tiles named <row_R_col_C>, then the whole image; an image that fits into one tile is the whole image alone."""
    tokens = int(seen.processor.image_seq_len)
    starts = {int(p): i for i, p in enumerate(seen.image_positions)}

    def name_before(position: int) -> re.Match[str] | None:
        # Some tokenizers have no token for a tile's name and spell it.
        before = seen.processor.tokenizer.decode(seen.ids[max(0, position - 16) : position].tolist())
        return re.search(r"<row_(\d+)_col_(\d+)>$", re.sub(r"\s", "", before))

    def tiles_of(size: Size, cursor: Cursor) -> list[Box]:
        at, rows, cols = starts[cursor.peek()], 0, 0
        while at < len(seen.image_positions) and (name := name_before(int(seen.image_positions[at]))):
            rows, cols, at = max(rows, int(name[1])), max(cols, int(name[2])), at + tokens
        return [*(_stretched(size, rows, cols) if rows else ()), _whole(size)]

    return _spans(seen, tokens, tiles_of)


def llama4(seen: Seen) -> tuple[Span, ...]:
    """Tiles with separators between them, then the whole image; the image is not stretched, but padded."""
    height, width = (int(n) for n in seen.prompt["pixel_values"].shape[-2:])
    patch = int(seen.processor.patch_size)
    tokens = (height // patch) * (width // patch) // int(seen.processor.downsample_ratio)
    across, down = (
        seen.processor.tokenizer.convert_tokens_to_ids(name)
        for name in (seen.processor.tile_token, seen.processor.tile_global_token)
    )
    to_largest = bool(seen.processor.image_processor.resize_to_max_canvas)

    def tiles_of(size: Size, cursor: Cursor) -> list[Box]:
        at, rows, cols, in_row = cursor.peek() + tokens, 0, 0, 1
        while at < len(seen.ids) and seen.ids[at] in (across, down):
            if seen.ids[at] == across:
                in_row += 1
            else:
                rows, cols, in_row = rows + 1, in_row, 1
                if at + 1 < len(seen.ids) and seen.ids[at + 1] != seen.ids[cursor.peek()]:
                    break
            at += 1 + tokens
        # A lone tile is padded as well.
        tiles = _padded(size, max(rows, 1), max(cols, 1), height, to_largest)
        return [*tiles, _whole(size)] if rows else tiles

    return _spans(seen, tokens, tiles_of)


def _padded(size: Size, rows: int, cols: int, side: int, to_largest: bool) -> list[Box]:
    """Rectangles of tiles over an image that was scaled evenly and laid into the upper left corner of their canvas."""
    canvas = (cols * side, rows * side)
    # A small image grows to one tile's side at most.
    room = canvas if to_largest else tuple(min(max(size[i], side), canvas[i]) for i in (0, 1))
    if room[0] / size[0] < room[1] / size[1]:
        scaled = (room[0], min(math.floor(size[1] * (room[0] / size[0])), room[1]))
    else:
        scaled = (min(math.floor(size[0] * (room[1] / size[1])), room[0]), room[1])
    # What the canvas shows of the plane the image lies in, in pixels of the image.
    shown = (canvas[0] * size[0] / max(scaled[0], 1), canvas[1] * size[1] / max(scaled[1], 1))
    width, height = shown[0] / cols, shown[1] / rows
    return [(c * width, r * height, (c + 1) * width, (r + 1) * height) for r in range(rows) for c in range(cols)]


def perception_lm(seen: Seen) -> tuple[Span, ...]:
    """A thumbnail first, then tiles, all next to each other; pooling makes one token of several patches."""
    processor = seen.processor.image_processor
    tile_px, patch = int(processor.tile_size), _side(seen.processor.patch_size)
    tokens = (tile_px // patch // int(seen.processor.pooling_ratio)) ** 2

    def tiles_of(size: Size, cursor: Cursor) -> list[Box]:
        if processor.vision_input_type != "thumb+tile":
            return [_whole(size)]
        width, height = size
        fitting = processor._fit_image_to_canvas(img_width=width, img_height=height, tile_size=tile_px)
        cols, rows = fitting or processor._find_closest_aspect_ratio(
            img_width=width, img_height=height, tile_size=tile_px
        )
        return [_whole(size), *_stretched(size, rows, cols)]

    return _spans(seen, tokens, tiles_of, patch)


def idefics2(seen: Seen) -> tuple[Span, ...]:
    """Latent tokens of a resampler, which have no grid: one block per quarter of a split image, then the whole."""
    tokens = int(seen.processor.image_seq_len)
    cursor = Cursor(seen)
    spans = []
    for image, (width, height) in enumerate(seen.image_sizes):
        x, y = width // 2, height // 2
        quarters = [(0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)]
        split = seen.processor.image_processor.do_image_splitting
        for box in [*(quarters if split else ()), (0, 0, width, height)]:
            start = cursor.take(tokens)
            left, top, right, bottom = (float(v) for v in box)
            spans.append(Span(image, start, start + tokens, 0, 0, 0, (left, top, right, bottom)))
    cursor.finish()
    return tuple(spans)


LAYOUTS: dict[str, Layout] = {
    **ANYRES,
    "internvl": internvl,
    "aya_vision": aya_vision,
    "cohere2_vision": cohere2_vision,
    "idefics2": idefics2,
    "idefics3": idefics3,
    "smolvlm": idefics3,
    "llama4": llama4,
    "perception_lm": perception_lm,
}
