"""Opens image files from anywhere without trusting them: pictures and masks. Torch-free."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from flowtui.errors import UsageError

MAX_IMAGE_PX = 80_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that Pillow decodes by itself; others call outside programs or are rare enough to only be a risk."""
MASK_FORMATS = ("PNG", "GIF", "BMP", "TIFF", "PPM")
"""Formats that keep a zero a zero: around a mask, JPEG and WEBP leave traces that would count as object."""

T = TypeVar("T")


def decode_image(data: bytes) -> Image.Image:
    """Decodes an image file as a viewer shows it: EXIF orientation applied, RGB, first frame.

    Raises:
        UsageError: Not an image, damaged, or more than `MAX_IMAGE_PX` pixels (judged by the header, before decoding).
    """
    return _decode(data, FORMATS, lambda image: image.convert("RGB"))


def decode_mask(data: bytes) -> NDArray[np.bool_]:
    """Decodes a mask: [height width], True where a pixel is not zero, so that label images and palettes mark objects.

    Of colours any channel counts; what is fully transparent is no object.

    Raises:
        UsageError: As for an image; also one of a format that may change a zero (`MASK_FORMATS` do not).
    """
    return _decode(data, MASK_FORMATS, _not_zero)


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
                width, height = image.size
                if width * height > MAX_IMAGE_PX:
                    raise UsageError(
                        f"The image has {width} x {height} pixels; at most {MAX_IMAGE_PX:,} are read.",
                        "Make it smaller first; models see a few hundred pixels a side.",
                    )
                return take(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UsageError("This is not an image that can be read.", f"Use one of {', '.join(formats)}.") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"The image is too large to read: {error}", "Make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"The image is damaged: {error}.", "Save it again as PNG or JPEG.") from error
