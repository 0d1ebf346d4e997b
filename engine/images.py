"""Opens image files from anywhere without trusting them: pictures and masks. Torch-free."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flowtui.errors import UsageError

MAX_IMAGE_PX = 80_000_000
MAX_ASPECT = 200
"""Longer side to shorter: processors bring the shorter side to a fixed size, and the other grows with it."""
MAX_SCANS = 100
"""Of a progressive JPEG, which needs about ten: each takes a pass over all pixels, and a few bytes in the file."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that Pillow decodes by itself; others call outside programs or are rare enough to only be a risk."""
MASK_FORMATS = ("PNG", "GIF", "BMP", "TIFF", "PPM")
"""Formats that keep a zero a zero: around a mask, JPEG and WEBP leave traces that would count as object."""

_JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]", re.DOTALL)
"""What starts a segment with a length; in a scan's data 0xff is followed by zero or by a restart, D0 to D7."""

T = TypeVar("T")


def decode_image(data: bytes) -> Image.Image:
    """Decodes an image file as a viewer shows it: EXIF orientation applied, RGB, first frame, what is clear on white.

    Raises:
        UsageError: Not an image, damaged, of more than `MAX_IMAGE_PX` pixels or of a shape that no model takes (judged
            by the header, before decoding), or of numbers of which nobody knows what is white.
    """
    return _decode(data, FORMATS, _to_rgb)


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Decodes a mask: [height width], True where a pixel is not zero, so that label images and palettes mark objects.

    Of colours any channel counts; what is fully transparent is no object.

    Raises:
        UsageError: As for an image; also one of a format that may change a zero (`MASK_FORMATS` do not).
    """
    return _decode(data, MASK_FORMATS, _not_zero)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        # 16 bits: Pillow's own conversion makes white of everything above 255.
        return Image.fromarray((np.asarray(image, dtype=np.float32) / 257 + 0.5).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UsageError(
            "The image's pixels are 32-bit numbers, which do not say what is black and what is white.",
            "Save it with 8 or 16 bits for each colour.",
        )
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        shown = Image.new("RGB", clear.size, (255, 255, 255))
        shown.paste(clear, mask=clear)
        return shown
    return image.convert("RGB")


def _not_zero(image: Image.Image) -> NDArray[np.bool_]:
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa"):
        values = np.asarray(image.convert("RGBA"))
        return np.asarray(values[..., :3].any(axis=-1) & (values[..., 3] > 0))
    # Palettes keep their indices; of a palette's colours the first need not be black.
    single = image if len(image.getbands()) == 1 else image.convert("RGB")
    values = np.asarray(single)
    return np.asarray(values != 0 if values.ndim == 2 else values.any(axis=-1))


def _decode(data: bytes, formats: tuple[str, ...], take: Callable[[Image.Image], T]) -> T:
    """What is taken of an upright image; every way in which a file can be wrong is a `UsageError`."""
    try:
        # Pillow warns of large images where we refuse them; its warning would only come twice.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=formats) as image:
                _check_header(image, data)
                ImageOps.exif_transpose(image, in_place=True)
                return take(image)
    except UsageError:
        raise
    except UnidentifiedImageError as error:
        raise UsageError("This is not an image that can be read.", f"Use one of {', '.join(formats)}.") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"The image is too large to read: {error}", "Make it smaller first.") from error
    except Exception as error:
        # Pillow's readers raise whatever their file's damage leads them to.
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise UsageError(f"The image is damaged: {reason[:120]}.", "Save it again as PNG or JPEG.") from error


def _check_header(image: Image.Image, data: bytes) -> None:
    """Refuses what would take too much memory or time, before a pixel is decoded."""
    width, height = image.size
    if width * height > MAX_IMAGE_PX:
        raise UsageError(
            f"The image has {width} x {height} pixels; at most {MAX_IMAGE_PX:,} are read.",
            "Make it smaller first; models see a few hundred pixels a side.",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UsageError(
            f"The image has {width} x {height} pixels: one side is more than {MAX_ASPECT} times the other.",
            "Cut it to the part that matters.",
        )
    if image.format in ("JPEG", "MPO") and _count_scans(data) > MAX_SCANS:
        raise UsageError(f"The image has more than {MAX_SCANS} scans.", "Save it again as PNG or JPEG.")
    if image.format == "TIFF" and any(tile[0] == "libtiff" for tile in getattr(image, "tile", ())):
        # Its decoder, libtiff, also writes to the terminal by itself.
        raise UsageError("The image is a compressed TIFF, which is not read.", "Save it as PNG.")


def _count_scans(data: bytes) -> int:
    """Scans of a JPEG file's first image, counted up to one more than `MAX_SCANS`."""
    count, at = 0, 2
    while count <= MAX_SCANS and (marker := _JPEG_MARKER.search(data, at)) and marker[0] != b"\xff\xd9":
        count += marker[0] == b"\xff\xda"
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count
