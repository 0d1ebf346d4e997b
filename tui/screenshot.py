"""A picture of the screen: Textual's SVG, with the maps in pixels where the terminal has cells, and that as PNG."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from flowtui.errors import UsageError

from .series import png_bytes

CELL = (12.2, 24.4)
"""Width and height of a cell in the SVG's own units: Rich's, for its characters of 20 units."""
TOP = 1.5
FONT = "DejaVu Sans Mono"
_REMOTE = re.compile(r"@font-face\s*{[^}]*}")
_END = re.compile(r"</g>\s*</g>\s*</svg>\s*\Z")

Cells = tuple[int, int, int, int]
"""Left, top, width and height in cells."""


def local_svg(svg: str, pictures: Iterable[tuple[Cells, Image.Image]]) -> str:
    """The SVG with pictures over its cells, and without fonts from elsewhere: whoever opens it asks nobody.

    Args:
        svg: As Textual exports a screen.
        pictures: Where on the screen, and what.
    """
    made = []
    for (left, top, wide, high), image in pictures:
        link = "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()
        made.append(
            f'<image x="{left * CELL[0]:.1f}" y="{top * CELL[1] + TOP:.1f}" width="{wide * CELL[0]:.1f}" '
            f'height="{high * CELL[1]:.1f}" preserveAspectRatio="none" href="{link}"/>'
        )
    svg = _REMOTE.sub("", svg)
    end = _END.search(svg)
    return svg if end is None else svg[: end.start()] + "</g>" + "".join(made) + "</g></svg>\n"


def to_png(svg: str) -> bytes:
    """The SVG drawn, with the font that matplotlib brings.

    Raises:
        UsageError: What draws it is not installed.
    """
    try:
        import matplotlib as mpl
        import resvg_py
    except ImportError as error:
        raise UsageError(
            "A PNG of the screen needs resvg-py and matplotlib.", "Install them with: pip install 'flowtui[figures]'"
        ) from error
    fonts = str(Path(mpl.get_data_path()) / "fonts" / "ttf")
    drawn = resvg_py.svg_to_bytes(
        svg_string=svg, font_dirs=[fonts], font_family=FONT, monospace_family=FONT, skip_system_fonts=True
    )
    return bytes(drawn)
