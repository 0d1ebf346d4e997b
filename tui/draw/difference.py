"""The difference of two maps: blue where the left one has more, orange where the right one has; glyphs say it too."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.strip import Strip

from .cells import Part, line
from .colours import from_oklab, to_oklab
from .ink import Ink, style

STEPS = 256
_ENDS = ((86, 180, 233), (48, 48, 48), (240, 165, 0))
"""Left, none, right: blue and orange are told apart by every kind of colour vision."""
LESS, MORE = "-=≡", "+*#"
"""From weak to strong, for more on the left and more on the right."""
_WEAKEST = (0.08, 1 / 3, 2 / 3)


@cache
def table() -> NDArray[np.uint8]:
    """The colour map from -1 to 1: [256 3] uint8, straight through Oklab on either side of none."""
    lab = to_oklab(np.array(_ENDS, dtype=np.uint8))
    at = np.linspace(-1, 1, STEPS)
    return from_oklab(np.stack([np.interp(at, (-1, 0, 1), channel) for channel in lab.T], axis=1))


def diverging(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values in -1..1 [...] as colours [... 3] uint8; NaN counts as 0."""
    steps = np.rint((np.clip(np.nan_to_num(values), -1, 1) + 1) / 2 * (STEPS - 1)).astype(np.intp)
    return np.asarray(table()[steps])


def blend_signed(rgb: NDArray[np.uint8], field: NDArray[np.floating], opacity: float) -> NDArray[np.uint8]:
    """Lays a difference over a photo in greys; where there is little, the photo shows.

    Args:
        rgb: [height width 3] photo.
        field: [height width] in -1..1, NaN where nothing looks.
        opacity: 0 shows the photo alone, 1 the difference alone.
    """
    if opacity <= 0:
        return rgb
    base: NDArray[np.floating] = rgb.astype(np.float32)
    grey = base @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    # All colour that is left means a side.
    base = np.repeat(grey[..., None], 3, axis=-1) * (1 - 0.45 * opacity)
    size = np.abs(np.clip(np.nan_to_num(field), -1, 1))
    cover = opacity if opacity >= 1 else opacity * np.clip(0.1 + 1.3 * size, 0, 1)
    alpha = np.where(np.isfinite(field), cover, 0)[..., None]
    return np.asarray(np.clip(np.rint(base + (diverging(field) - base) * alpha), 0, 255), dtype=np.uint8)


def signed_glyphs(values: NDArray[np.floating]) -> list[str]:
    """Values in -1..1 [rows cols] as one string a row; blank where there is hardly any."""
    value = np.nan_to_num(values)
    step = np.digitize(np.abs(value), _WEAKEST)
    signs = np.where(value < 0, -step, step).tolist()
    glyphs = {0: " ", **{i + 1: glyph for i, glyph in enumerate(MORE)}, **{-i - 1: g for i, g in enumerate(LESS)}}
    return ["".join(glyphs[sign] for sign in row) for row in signs]


def signed_legend(ink: Ink, width: int, high: str, *, names: tuple[str, str], plain: bool = False) -> Strip:
    """The colour map from "left has more" to "right has more".

    Args:
        ink: Colours.
        width: Cells.
        high: The value at both ends, without its sign.
        names: Of the left and the right map, said where there is room.
        plain: Show glyphs instead of colours.
    """
    ends = [(f"{name} " if name else "") for name in names]
    ends = ends if sum(map(cell_len, ends)) + len(high) + 16 <= width else ["", ""]
    room = width - sum(map(cell_len, ends)) - len(high) - 7
    glyphs = [*LESS[::-1], " ", *MORE] if plain else ["█"] * (max(5, min(17, room)) // 2 * 2 + 1)
    steps = len(glyphs)
    bar: list[Part] = []
    for glyph, shade in zip(glyphs, diverging(np.linspace(-1, 1, steps)).tolist(), strict=True):
        bar.append((glyph, ink.text if plain else style(tuple(shade), ink.background)))
    after = f" {ends[1]}" if ends[1] else " "
    return line(ink, width, (f"{ends[0]}− ", ink.dim), *bar, (f" +{after}", ink.dim), (f"±{high}", ink.text))
