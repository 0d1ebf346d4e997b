"""Opens image files from anywhere without trusting them. Torch-free."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from flowtui.errors import UsageError

MAX_IMAGE_PX = 80_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that Pillow decodes by itself; others call outside programs or are rare enough to only be a risk."""


def decode_image(data: bytes) -> Image.Image:
    """Decodes an image file as a viewer shows it: EXIF orientation applied, RGB, first frame.

    Raises:
        UsageError: Not an image, damaged, or more than `MAX_IMAGE_PX` pixels (judged by the header, before decoding).
    """
    try:
        # Pillow warns of large images where we refuse them; its warning would only come twice.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_IMAGE_PX:
                    raise UsageError(
                        f"The image has {width} x {height} pixels; at most {MAX_IMAGE_PX:,} are read.",
                        "Make it smaller first; models see a few hundred pixels a side.",
                    )
                return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError as error:
        raise UsageError("This is not an image that can be read.", f"Use one of {', '.join(FORMATS)}.") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"The image is too large to read: {error}", "Make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as error:
        raise UsageError(f"The image is damaged: {error}.", "Save it again as PNG or JPEG.") from error
