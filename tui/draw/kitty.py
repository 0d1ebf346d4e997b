"""Kitty's graphics protocol: pictures sent once, then shown, stacked and removed by number.

Source: https://sw.kovidgoyal.net/kitty/graphics-protocol/. Only what kitty 0.20 has, and other terminals took over:
pictures as PNG in the escape sequence itself, placements at the cursor, deletion by number. No answers are asked for.
"""

from __future__ import annotations

import zlib
from base64 import standard_b64encode
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .colours import colour
from .fields import cover

CHUNK_BYTES = 4096
"""Most that one sequence may carry."""
LEVELS = 64
"""Steps of heat in an overlay: finer ones are not seen, and cost bytes."""


def send(number: int, png: bytes) -> str:
    """Hands a picture to the terminal under a number, without showing it."""
    text = standard_b64encode(png).decode("ascii")
    chunks = [text[at : at + CHUNK_BYTES] for at in range(0, len(text), CHUNK_BYTES)]
    first = f"a=t,f=100,t=d,i={number},q=2,"
    made = []
    for place, chunk in enumerate(chunks):
        more = int(place < len(chunks) - 1)
        made.append(f"\x1b_G{'' if place else first}m={more}{',q=2' if place else ''};{chunk}\x1b\\")
    return "".join(made)


def show(number: int, placement: int, cell: tuple[int, int], size: tuple[int, int] | None, level: int,
         offset_px: tuple[int, int] = (0, 0)) -> str:  # fmt: skip
    """Shows a picture that was sent.

    Args:
        number: Of the picture.
        placement: Of this showing of it; showing it again under the same one moves it.
        cell: (column, row) of its top left cell, from 0.
        size: (columns, rows) that it is stretched over; None for its own pixels.
        level: Above text and pictures of a lower one.
        offset_px: (right, down) inside the first cell.
    """
    stretch = f",c={size[0]},r={size[1]}" if size else ""
    inside = f",X={offset_px[0]},Y={offset_px[1]}" if any(offset_px) else ""
    put = f"\x1b_Ga=p,i={number},p={placement}{stretch}{inside},z={level},C=1,q=2\x1b\\"
    return f"\x1b7\x1b[{cell[1] + 1};{cell[0] + 1}H{put}\x1b8"


def hide(number: int, placement: int) -> str:
    """Takes one showing of a picture off the screen; the terminal keeps the picture."""
    return f"\x1b_Ga=d,d=i,i={number},p={placement},q=2\x1b\\"


def remove(number: int) -> str:
    """Takes a picture off the screen wherever it is, and out of the terminal's memory."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"


def photo_png(rgb: NDArray[np.uint8]) -> bytes:
    """Pixels [height width 3] as PNG."""
    with BytesIO() as out:
        Image.fromarray(np.ascontiguousarray(rgb)).save(out, "PNG", compress_level=6)
        return out.getvalue()


def overlay_png(field: NDArray[np.floating], opacity: float, palette: str) -> bytes:
    """Heat as a picture that is transparent where it is cold.

    Args:
        field: [height width] in 0..1, NaN where nothing looks.
        opacity: As in `blend`, over whose photo it has to lie.
        palette: Colour map.

    Returns:
        PNG with a palette: a byte per pixel before compression, four when it is shown.
    """
    known = np.isfinite(field)
    level = np.rint(np.clip(np.nan_to_num(field), 0, 1) * (LEVELS - 1)).astype(np.uint8)
    heat = np.arange(LEVELS) / (LEVELS - 1)
    alpha = np.rint(cover(heat, opacity) * 255).astype(np.uint8)
    rgb = np.asarray(colour(heat, palette), dtype=np.uint8)
    index = np.where(known, level, LEVELS).astype(np.uint8)
    height, width = index.shape
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    # Differences to the line above, PNG's filter 2: heat is smooth, so most are zero.
    upper = np.vstack([np.zeros((1, width), dtype=np.uint8), index[:-1]])
    lines = np.hstack([np.full((height, 1), 2, dtype=np.uint8), index - upper]).tobytes()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data)
        for name, data in (
            (b"IHDR", size + b"\x08\x03\0\0\0"),
            (b"PLTE", rgb.tobytes() + b"\0\0\0"),
            (b"tRNS", alpha.tobytes() + b"\0"),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )


def ring_png(size_px: tuple[int, int]) -> bytes:
    """A frame of (width, height) pixels, white inside black, with nothing in it."""
    width, height = size_px
    rgba = np.zeros((height, width, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    rgba[1:-1, 1:-1, :3] = 255
    rgba[2:-2, 2:-2] = 0
    with BytesIO() as out:
        Image.fromarray(rgba).save(out, "PNG")
        return out.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
