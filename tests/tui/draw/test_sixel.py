"""Sixel, read back by a decoder written from the format's description."""

import re

import numpy as np
import pytest
from numpy.typing import NDArray

from flowtui.tui.draw.sixel import to_palette, to_sixel


def decode(text: str) -> NDArray[np.int64]:
    """Pixels [height width 3], -1 where nothing was drawn; as large as the raster attributes say, or larger."""
    head = re.match(r'\x1bP0;1;0q"1;1;(\d+);(\d+)', text)
    assert head is not None
    assert text.endswith("\x1b\\")
    width, height = int(head[1]), int(head[2])
    made = np.full((-(-height // 6) * 6, width, 3), -1)
    colours: dict[int, tuple[int, int, int]] = {}
    x = y = 0
    now = 0
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+[?-~]|[?-~]|[$-]", text[head.end() : -2]):
        if token[0] == "#":
            number, *rest = map(int, token[1:].split(";"))
            if rest:
                assert max(rest[1:]) <= 100
                colours[number] = tuple(round(part * 2.55) for part in rest[1:])
            now = number
        elif token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            for bit in range(6):
                if (ord(token[-1]) - 63) >> bit & 1:
                    assert (made[y + bit, x : x + count] == -1).all(), "drawn twice"
                    made[y + bit, x : x + count] = colours[now]
            x += count
            assert x <= width
    return made


@pytest.mark.parametrize("size", [(1, 1), (6, 6), (7, 5), (13, 40), (60, 81), (195, 360)])
def test_a_decoder_gets_the_picture_back(size: tuple[int, int]) -> None:
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2).astype(np.uint8)
    made = decode(to_sixel(rgb))
    assert (made[height:] == -1).all(), "pixels below the picture belong to others"
    seen = made[:height]
    assert (seen >= 0).all()
    # 256 colours for a picture of many, in hundredths.
    assert np.abs(seen - rgb).mean() < 8
    index, palette = to_palette(rgb)
    assert np.abs(seen - np.array(palette)[index]).max() <= 2


def test_few_colours_come_back_as_they_are() -> None:
    rgb = np.zeros((20, 30, 3), dtype=np.uint8)
    rgb[:, 10:20] = (255, 0, 0)
    rgb[5:10, 20:] = (0, 102, 204)
    assert np.abs(decode(to_sixel(rgb))[:20] - rgb).max() <= 2


def test_runs_are_counted() -> None:
    assert len(to_sixel(np.zeros((480, 480, 3), dtype=np.uint8))) < 1200
