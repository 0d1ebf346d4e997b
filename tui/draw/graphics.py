"""The seam between a map and the way a terminal shows it: one renderer per protocol, chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from textual.strip import Strip

from flowtui.errors import UsageError

from .character import characters, lettered
from .difference import blend_signed, signed_glyphs
from .fields import blend
from .halfblock import half_blocks
from .ink import Rgb


@dataclass(frozen=True, slots=True)
class Picture:
    """A photo and its heat at the resolution a renderer asked for.

    Attributes:
        rgb: [height width 3] uint8 photo.
        field: [height width] heat in 0..1, NaN where nothing looks; None for no heat.
        opacity: 0 photo alone .. 1 heat alone.
        background: Colour of the panel.
        palette: Colour map of the heat.
        signed: The field is a difference in -1..1, with colours of its own.
    """

    rgb: NDArray[np.uint8]
    field: NDArray[np.floating] | None
    opacity: float
    background: Rgb
    palette: str = "inferno"
    signed: bool = False

    def blended(self) -> NDArray[np.uint8]:
        """Photo and heat as pixels."""
        if self.signed and self.field is not None:
            return blend_signed(self.rgb, self.field, self.opacity)
        return blend(self.rgb, self.field, self.opacity, self.palette)


class Graphics(Protocol):
    """Draws pictures into cells.

    Attributes:
        name: As the command line has it.
        cell_px: Pixels it wants per cell, (width, height).
    """

    name: str
    cell_px: tuple[int, int]

    def draw(self, picture: Picture) -> list[Strip]:
        """The picture as strips, one per `cell_px[1]` pixel rows."""
        ...


class HalfBlock:
    """Two pixels a cell in true colour: works in every terminal that has colours."""

    name = "halfblock"
    cell_px = (1, 2)

    def draw(self, picture: Picture) -> list[Strip]:
        """The blend of photo and heat."""
        return half_blocks(picture.blended())


class Ascii:
    """One glyph a cell: denser is hotter (or brighter, for the photo alone). Needs no colour."""

    name = "ascii"
    cell_px = (1, 1)

    def draw(self, picture: Picture) -> list[Strip]:
        """Heat as glyphs in the colours of the blend; the photo's brightness where there is no heat."""
        if picture.field is None or picture.opacity <= 0:
            light = picture.rgb @ np.array([0.299, 0.587, 0.114]) / 255
            # On a light ground ink is dark: dense glyphs stand for dark places there.
            value = light if sum(picture.background) < 384 else 1 - light
            return characters(np.maximum(value, 0.03), picture.rgb, picture.background)
        if picture.signed:
            return lettered(signed_glyphs(picture.field), picture.blended(), picture.background)
        return characters(picture.field, picture.blended(), picture.background)


GRAPHICS: dict[str, Callable[[], Graphics]] = {"halfblock": HalfBlock, "ascii": Ascii}
"""Renderers by name; a pixel protocol joins by adding itself here."""


def choose_graphics(name: str, environ: Mapping[str, str]) -> Graphics:
    """The renderer of that name, or the best one for this terminal.

    Args:
        name: "auto" or a key of `GRAPHICS`.
        environ: Environment: FLOWTUI_GRAPHICS overrides "auto"; NO_COLOR and dumb terminals get characters.

    Raises:
        UsageError: No such renderer.
    """
    if name == "auto":
        name = environ.get("FLOWTUI_GRAPHICS", "auto") or "auto"
    if name == "auto":
        plain = "NO_COLOR" in environ or environ.get("TERM", "") in ("dumb", "linux")
        name = "ascii" if plain else "halfblock"
    if name not in GRAPHICS:
        raise UsageError(f"There is no graphics mode {name!r}.", f"Use auto, {' or '.join(GRAPHICS)}.")
    return GRAPHICS[name]()
