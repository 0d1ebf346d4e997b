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
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_a_picture_comes_as_rgb() -> None:
    image = decode_image(png(40, 30))
    assert (image.mode, image.size) == ("RGB", (40, 30))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "TIFF" if mode in ("CMYK", "I;16") else "PNG"
    assert decode_image(_encoded(Image.new(mode, (5, 4)), kind)).mode == "RGB"


def test_16_bits_keep_their_shades() -> None:
    ramp = np.arange(0, 65536, 4369, dtype=np.uint16).reshape(1, 16)
    for kind in ("PNG", "TIFF", "PPM"):
        found = np.asarray(decode_image(_encoded(Image.fromarray(ramp), kind)))
        np.testing.assert_array_equal(found, np.repeat(np.arange(0, 256, 17)[None, :, None], 3, 2))


def test_what_does_not_say_what_is_white_is_refused() -> None:
    for values in (np.zeros((2, 2), dtype=np.int32), np.zeros((2, 2), dtype=np.float32)):
        with pytest.raises(UsageError, match="32-bit"):
            decode_image(_encoded(Image.fromarray(values), "TIFF"))


def test_what_is_clear_is_white() -> None:
    # What stands under a clear pixel is nothing that a person sees.
    rgba = np.array([[[255, 0, 0, 0], [255, 0, 0, 255], [0, 0, 0, 128]]], dtype=np.uint8)
    expected = [[[255, 255, 255], [255, 0, 0], [127, 127, 127]]]
    assert np.asarray(decode_image(_encoded(Image.fromarray(rgba), "PNG"))).tolist() == expected
    grey = np.array([[[9, 0], [9, 255]]], dtype=np.uint8)
    assert np.asarray(decode_image(_encoded(Image.fromarray(grey), "PNG")))[0, :, 0].tolist() == [255, 9]
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for kind in ("PNG", "GIF"):
        found = np.asarray(decode_image(_encoded(palette, kind, transparency=0)))
        assert found.tolist() == [[[255, 255, 255], [0, 255, 0]]]
    one_colour = _encoded(Image.new("RGB", (1, 1), (7, 8, 9)), "PNG", transparency=(7, 8, 9))
    assert np.asarray(decode_image(one_colour)).tolist() == [[[255, 255, 255]]]


def test_without_alpha_nothing_changes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    solid = np.dstack([pixels, np.full((8, 9), 255, dtype=np.uint8)])
    for values in (pixels, solid):
        np.testing.assert_array_equal(np.asarray(decode_image(_encoded(Image.fromarray(values), "PNG"))), pixels)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_what_moves_the_first_picture_counts(kind: str) -> None:
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    found = np.asarray(decode_image(_encoded(red, kind, save_all=True, append_images=[blue])))
    assert found[..., 0].min() > 250
    assert found[..., 2].max() < 5


@pytest.mark.parametrize("size", [(1, 201), (201, 1), (100_000, 10)])
def test_a_shape_that_would_grow_beyond_all_bounds_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="one side"):
        decode_image(_encoded(Image.new("L", size), "PNG"))


def test_a_picture_of_endless_scans_is_refused() -> None:
    data = _encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    assert decode_image(data[:-2] + scan * 20 + b"\xff\xd9").size == (64, 64)
    with pytest.raises(UsageError, match="scans"):
        decode_image(data[:-2] + scan * 200 + b"\xff\xd9")
    with pytest.raises(UsageError, match="scans"):
        decode_image(data[:-2] + (b"junk" + scan) * 200 + b"\xff\xd9")
    # What follows a picture's end, as the film of a moving photo does, is no scan.
    assert decode_image(data + scan * 200).size == (64, 64)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "group4"])
def test_a_decoder_that_writes_to_the_terminal_is_not_used(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    mode = "1" if compression == "group4" else "RGB"
    data = _encoded(Image.new(mode, (8, 8)), "TIFF", compression=compression)
    for damaged in (data, data[:-20], data[: len(data) // 2]):
        with pytest.raises(UsageError):
            decode_image(damaged)
    assert capfd.readouterr() == ("", "")


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
    "orientation that is none": png().replace(b"IDAT", b"eXIf", 1),
    "text that unpacks without end": _png_header(8, 8)[:33]
    + _chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(1 << 25)))
    + _png_header(8, 8)[33:],
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
