"""A picture of a map with what makes it readable alone: which map it is, and a bar of its colours with the values."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .draw.fields import blend
from .overlay import OPACITY
from .text import visible

LEAST_PX = 360
"""A picture narrower than this is enlarged by a whole factor: the words below it need the room."""
FONT_PX, BAR_PX, PAD_PX = 14, 12, 8
INK, PAPER = (34, 34, 34), (255, 255, 255)
GREY = 128

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def colour_ramp(width: int, height: int) -> Image.Image:
    """The colours that heat from 0 to its maximum has over a grey photo, from left to right."""
    heat = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    return Image.fromarray(blend(np.full((height, width, 3), GREY, dtype=np.uint8), heat, OPACITY))


def with_colour_bar(picture: Image.Image, title: str, high: str) -> Image.Image:
    """Puts a title and a colour bar below a picture.

    Args:
        picture: The map over its photo, RGB; its pixels stay as they are, or become squares of whole pixels.
        title: What it shows.
        high: The map's maximum, with its unit; "" where the map is zero everywhere, which needs no bar.
    """
    times = max(1, -(-LEAST_PX // picture.width))
    picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    rows = 2 if high else 1
    made = Image.new("RGB", (picture.width, picture.height + rows * (FONT_PX + PAD_PX) + PAD_PX), PAPER)
    made.paste(picture)
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(FONT_PX)
    middle = picture.height + PAD_PX + FONT_PX // 2
    draw.text((PAD_PX, middle), fitting(draw, visible(title), made.width - 2 * PAD_PX, font), INK, font, anchor="lm")
    if high:
        middle += FONT_PX + PAD_PX
        left, right = draw.textlength("0", font), draw.textlength(high, font)
        width = max(1, made.width - 4 * PAD_PX - int(left) - int(right))
        draw.text((PAD_PX, middle), "0", INK, font, anchor="lm")
        made.paste(colour_ramp(width, BAR_PX), (2 * PAD_PX + int(left), middle - BAR_PX // 2))
        draw.text((made.width - PAD_PX, middle), high, INK, font, anchor="rm")
    return made


def fitting(
    draw: ImageDraw.ImageDraw, text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    whole = text
    while text and draw.textlength(text if text == whole else f"{text}…", font) > width:
        text = text[:-1]
    return text if text == whole else f"{text}…"
