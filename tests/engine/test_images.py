from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from flowtui.engine.images import MAX_IMAGE_PX, decode_image, decode_mask
from flowtui.errors import UsageError
from tests.factories import png


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_comes_as_rgb() -> None:
    image = decode_image(png(40, 30))
    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    assert decode_image(_encoded(Image.new(mode, (5, 4)), kind)).mode == "RGB"


def test_exif_orientation_is_applied() -> None:
    pixels = np.zeros((2, 4, 3), dtype=np.uint8)
    pixels[:, 2:] = 255  # left half black, right half white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    image = decode_image(_encoded(Image.fromarray(pixels), "PNG", exif=exif))
    assert image.size == (2, 4)
    assert np.asarray(image)[0].max() == 0
    assert np.asarray(image)[-1].min() == 255


@pytest.mark.parametrize(("width", "height"), [(MAX_IMAGE_PX // 1000 + 1, 1000), (20_000, 20_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(UsageError, match=r"pixels|too large"):
        decode_image(_png_header(width, height))


NOT_IMAGES = {
    "nothing": b"",
    "text": b"hello",
    "needs an outside program": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "cut in the pixels": png()[:200],
    "cut in the header": png()[:20],
    "no pixels": _png_header(10, 10),
    "signature only": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES.keys())
def test_what_is_no_image_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        decode_image(data)
    assert caught.value.hint


def test_a_mask_marks_what_is_not_zero() -> None:
    labels = np.array([[0, 1, 2], [0, 0, 255]], dtype=np.uint8)
    expected = labels > 0
    image = Image.fromarray(labels)
    for made in (image, image.convert("I;16"), Image.fromarray(labels.astype(np.int32) * 300)):
        np.testing.assert_array_equal(decode_mask(_encoded(made, "TIFF")), expected)
    np.testing.assert_array_equal(decode_mask(_encoded(Image.fromarray(expected), "PNG")), expected)


def test_of_a_mask_in_colours_any_channel_counts() -> None:
    colours = np.zeros((1, 4, 3), dtype=np.uint8)
    colours[0, 1:] = [(9, 0, 0), (0, 9, 0), (0, 0, 9)]
    assert decode_mask(_encoded(Image.fromarray(colours), "PNG")).tolist() == [[False, True, True, True]]
    seen = np.dstack([colours, np.array([[255, 255, 0, 1]], dtype=np.uint8)])
    assert decode_mask(_encoded(Image.fromarray(seen), "PNG")).tolist() == [[False, True, False, True]]


def test_of_a_mask_with_a_palette_the_indices_count() -> None:
    # The first colour of the palette is white, the second black: not the colour, but the index says what is object.
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    assert decode_mask(_encoded(image, "PNG")).tolist() == [[False, True]]


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_a_mask_of_a_format_that_changes_pixels_is_refused(kind: str) -> None:
    data = _encoded(Image.new("L", (8, 8)), kind)
    assert decode_image(data).size == (8, 8)
    with pytest.raises(UsageError) as caught:
        decode_mask(data)
    assert "PNG" in caught.value.hint
    assert kind not in caught.value.hint


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES.keys())
def test_what_is_no_mask_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        decode_mask(data)
    assert caught.value.hint
