"""Pixels as sixel, the graphics of the VT340: what xterm, foot, mlterm, WezTerm and others draw.

Source: DEC STD 070, chapter 9; "All About SIXELs" (C. F. Kempf, 1990). An encoder of our own: see
docs/decisions/0005-a-sixel-encoder.md.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLOURS = 256
"""Colour registers of the terminals that matter."""
BAND_PX = 6
"""Pixel rows that one line of sixels holds."""
MIN_REPEAT = 4
"""Shorter runs are no shorter with a count."""


def to_sixel(rgb: NDArray[np.uint8]) -> str:
    """Encodes pixels.

    Args:
        rgb: [height width 3] uint8.

    Returns:
        One escape sequence. It draws at the cursor, leaves pixels beyond `height` alone, and moves the cursor.
    """
    height, width = rgb.shape[:2]
    index, palette = to_palette(rgb)
    head = f'\x1bP0;1;0q"1;1;{width};{height}'
    colours = "".join(f"#{i};2;{';'.join(str(round(c / 2.55)) for c in shade)}" for i, shade in enumerate(palette))
    return f"{head}{colours}{_bands(index, len(palette))}\x1b\\"


def to_palette(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """The pixels as indices [height width] into at most `COLOURS` colours, each [red, green, blue] in 0..255."""
    # Octree: evenly spread colours show heat without rings, and a photo's noise in few of them, so in few bytes.
    whole = Image.fromarray(np.ascontiguousarray(rgb))
    made = whole.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = np.array(made.getpalette(), dtype=np.uint8).reshape(-1, 3)
    # Only colours that are there are defined.
    there, index = np.unique(np.asarray(made), return_inverse=True)
    return index.reshape(rgb.shape[:2]).astype(np.uint8), palette[there].tolist()


def _bands(index: NDArray[np.uint8], colours: int) -> str:
    """The lines of sixels: in each, colour by colour, which of six pixels in a column have it."""
    height, width = index.shape
    bands = -(-height // BAND_PX)
    # One colour more than there are stands for the rows below the picture.
    padded = np.full((bands * BAND_PX, width), colours, dtype=np.int64)
    padded[:height] = index
    codes = np.zeros((bands, colours + 1, width), dtype=np.uint8)
    band, column = np.arange(bands)[:, None], np.arange(width)[None, :]
    for bit, row in enumerate(padded.reshape(bands, BAND_PX, width).swapaxes(0, 1)):
        codes[band, row, column] |= 1 << bit
    # A line of codes for each colour of each band that has it, in order.
    used = np.argwhere(codes[:, :colours].any(axis=2))
    lines = codes[used[:, 0], used[:, 1]]
    changes = np.ones(lines.shape, dtype=bool)
    changes[:, 1:] = lines[:, 1:] != lines[:, :-1]
    starts = np.flatnonzero(changes)
    runs = [_run(*run) for run in zip(np.diff(starts, append=lines.size).tolist(), lines.ravel()[starts].tolist(),
                                      strict=True)]  # fmt: skip
    firsts = np.searchsorted(starts, np.arange(len(lines) + 1) * width).tolist()
    made, now = [], 0
    for place, (at, shade) in enumerate(used.tolist()):
        made.append("-" * (at - now) if at != now else "$" if place else "")
        made.append(f"#{shade}")
        made += runs[firsts[place] : firsts[place + 1]]
        now = at
    return "".join(made)


@lru_cache(maxsize=1 << 14)
def _run(length: int, code: int) -> str:
    """So many equal columns."""
    glyph = chr(63 + code)
    return f"!{length}{glyph}" if length >= MIN_REPEAT else glyph * length
