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
from .cursor import Box, bracketed, framed
from .difference import blend_signed, signed_glyphs
from .fields import blend
from .halfblock import half_blocks
from .ink import Rgb
from .probe import Answers, Choice, from_answers, from_environment, measure_cell


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
        mark: A cell to put a box around, (left, top, right, bottom) in pixels; None for none.
    """

    rgb: NDArray[np.uint8]
    field: NDArray[np.floating] | None
    opacity: float
    background: Rgb
    palette: str = "inferno"
    signed: bool = False
    mark: Box | None = None

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
        screen_px: (width, height) of a cell on the screen, or in their ratio where nobody knows: one to two.
    """

    name: str
    cell_px: tuple[int, int]
    screen_px: tuple[int, int]

    def draw(self, picture: Picture) -> list[Strip]:
        """The picture as strips, one per `cell_px[1]` pixel rows."""
        ...


class HalfBlock:
    """Two pixels a cell in true colour: works in every terminal that has colours."""

    name = "halfblock"
    cell_px = (1, 2)
    screen_px = (10, 20)

    def draw(self, picture: Picture) -> list[Strip]:
        """The blend of photo and heat."""
        rgb = picture.blended()
        return half_blocks(rgb if picture.mark is None else framed(rgb, picture.mark))


class Sixel(HalfBlock):
    """Half blocks while something moves, and pixels in their place as soon as it rests."""

    name = "sixel"


class Kitty(HalfBlock):
    """Half blocks at first; then the photo as pixels, sent once, and a small overlay of heat for each layer."""

    name = "kitty"


class Ascii:
    """One glyph a cell: denser is hotter (or brighter, for the photo alone). Needs no colour."""

    name = "ascii"
    cell_px = (1, 1)
    screen_px = (10, 20)

    def draw(self, picture: Picture) -> list[Strip]:
        """Heat as glyphs in the colours of the blend; the photo's brightness where there is no heat."""
        strips = self._characters(picture)
        return strips if picture.mark is None else bracketed(strips, picture.mark, picture.background)

    def _characters(self, picture: Picture) -> list[Strip]:
        if picture.field is None or picture.opacity <= 0:
            light = picture.rgb @ np.array([0.299, 0.587, 0.114]) / 255
            # On a light ground ink is dark: dense glyphs stand for dark places there.
            value = light if sum(picture.background) < 384 else 1 - light
            return characters(np.maximum(value, 0.03), picture.rgb, picture.background)
        if picture.signed:
            return lettered(signed_glyphs(picture.field), picture.blended(), picture.background)
        return characters(picture.field, picture.blended(), picture.background)


GRAPHICS: dict[str, Callable[[], Graphics]] = {
    "kitty": Kitty,
    "sixel": Sixel,
    "halfblock": HalfBlock,
    "ascii": Ascii,
}
"""Renderers by name."""


def choose(asked: str, source: str, environ: Mapping[str, str], ask: Callable[[], Answers] = Answers) -> Choice:
    """The best way to draw here, and why.

    Args:
        asked: "auto" or a key of `GRAPHICS`.
        source: Who asked, as the beginning of a sentence.
        environ: Environment.
        ask: Puts the question to the terminal; called only where the environment leaves it open.

    Raises:
        UsageError: No such renderer.
    """
    if asked != "auto" and asked not in GRAPHICS:
        raise UsageError(f"There is no graphics mode {asked!r}.", f"Use auto, {', '.join(GRAPHICS)}.")
    choice = from_environment(asked, source, environ) or from_answers(ask())
    cell_px = measure_cell() or choice.cell_px
    if choice.name == "sixel" and cell_px is None and asked == "auto":
        return Choice("halfblock", "the terminal draws sixel, but does not say how large its cells are")
    return Choice(choice.name, choice.why, cell_px)


def make_graphics(choice: Choice) -> Graphics:
    """The renderer of a choice."""
    graphics = GRAPHICS[choice.name]()
    graphics.screen_px = choice.cell_px or graphics.screen_px
    return graphics
