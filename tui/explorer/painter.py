"""Draws maps over the run's images and keeps them, so that going back to a layer costs nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from textual.strip import Strip

from flowtui.engine.images import decode_image
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.draw.cursor import Box
from flowtui.tui.draw.fields import Canvas, aspect, cell_box, heat_field, make_canvas
from flowtui.tui.draw.graphics import Graphics, Picture
from flowtui.tui.draw.ink import Rgb
from flowtui.tui.text import visible

from .facts import Heat
from .gridcells import GridCells

T = TypeVar("T")

MAX_KEPT = 512
MAX_SIDE_PX = 1024
"""Photos are kept no larger than this: no terminal shows more."""


class Painter:
    """Photos of one run, canvases per size and finished maps per layer, kind, token, opacity and size.

    Attributes:
        graphics: The renderer.
        sizes: (width, height) of the images in their own pixels.
        problem: What is wrong with the images, safe to show, or "".
        covered: Pixels that know the heat lie over the cells: maps are drawn as the photo alone, which stays the same
            from layer to layer and so is not sent again.
    """

    def __init__(self, run: Run, graphics: Graphics) -> None:
        self.graphics = graphics
        self.problem = ""
        self.covered = False
        self._tokens = run.tokens
        self._photos = [self._decode(data) for data in run.spec.images]
        claimed = run.image_sizes if len(run.image_sizes) == len(self._photos) else ()
        self.sizes = tuple((max(1, w), max(1, h)) for w, h in (claimed or (p.size for p in self._photos)))
        self._canvases: OrderedDict[Hashable, Canvas] = OrderedDict()
        self._strips: OrderedDict[Hashable, tuple[object, list[Strip]]] = OrderedDict()

    @cached_property
    def cells(self) -> GridCells:
        """The cells of the grids."""
        return GridCells(self._tokens)

    @property
    def ratio(self) -> float:
        """Width over height of all images side by side, as if a cell were twice as high as wide."""
        wide, high = self.graphics.screen_px
        return aspect(self.sizes) * high / wide / 2

    def draw(
        self,
        heat: Heat | None,
        opacity: int,
        size: tuple[int, int],
        background: Rgb,
        palette: str = "inferno",
        cell: int | None = None,
    ) -> list[Strip]:
        """The images with a map, (width, height) in cells.

        Args:
            heat: The map; None for the photos alone.
            opacity: Percent of heat over the photo.
            size: Cells.
            background: Colour of the panel.
            palette: Colour map of the heat.
            cell: Image token to put a box around, if any.
        """
        opacity = 0 if heat is None or self.covered else opacity
        cell = None if self.covered else cell
        # A map is known by the identity of the array it shows, which is kept beside the strips and so stays unique.
        key = (id(heat.values) if heat is not None and opacity else None, opacity, size, background, palette, cell)
        if key in self._strips:
            self._strips.move_to_end(key)
            return self._strips[key][1]
        canvas = self._canvas(size, background)
        strips = self.graphics.draw(self.picture(canvas, heat, opacity, background, palette, cell))
        _keep(self._strips, key, (heat.values if heat is not None else None, strips), MAX_KEPT)
        return strips

    def picture(
        self, canvas: Canvas, heat: Heat | None, opacity: int, background: Rgb, palette: str, cell: int | None = None
    ) -> Picture:
        """What there is to draw on a canvas."""
        field = self.field(canvas, heat) if heat is not None and opacity else None
        mark = None if cell is None else self.box(canvas, cell)
        return Picture(canvas.rgb, field, opacity / 100, background, palette, mark=mark)

    def field(self, canvas: Canvas, heat: Heat) -> NDArray[np.float32]:
        """Heat over a canvas, [height width] in 0..1."""
        field = heat_field(canvas, self._tokens, heat.values)
        # Averaged to few pixels, a hot spot fades: the hottest pixel gets the hottest colour, at any size.
        top = np.nanmax(field, initial=0)
        return field / top * heat.part if top > 0 else field

    def box(self, canvas: Canvas, cell: int) -> Box | None:
        """Where an image token lies on a canvas; None where it is no cell."""
        place = self.cells.cell(cell)
        if place is None:
            return None
        return cell_box(canvas, self._tokens, self._tokens.spans[place.grid], place.row, place.col)

    def canvas(self, size_px: tuple[int, int], background: Rgb) -> Canvas:
        """The photos in (width, height) pixels. Keeps nothing, so that any thread may ask."""
        return make_canvas(self._photos, self.sizes, size_px, background)

    def difference(
        self,
        left: Heat,
        right: Heat,
        opacity: int,
        size: tuple[int, int],
        background: Rgb,
        other: Painter | None = None,
    ) -> list[Strip]:
        """The right map less the left one, each divided by its own maximum.

        Args:
            left, right: The maps.
            opacity: Percent of the difference over the photo.
            size: (width, height) in cells.
            background: Colour of the panel.
            other: Whose run the right map belongs to, on the same images; None for this one.
        """
        key = ("difference", id(left.values), id(right.values), opacity, size, background)
        if key in self._strips:
            self._strips.move_to_end(key)
            return self._strips[key][1]
        canvas = self._canvas(size, background)
        fields = []
        for heat, painter in ((left, self), (right, other or self)):
            fields.append(painter.field(canvas, heat))
        made = fields[1] - fields[0]
        top = np.nanmax(np.abs(made), initial=0)
        made = made / top if top > 0 else made
        strips = self.graphics.draw(Picture(canvas.rgb, made, opacity / 100, background, signed=True))
        _keep(self._strips, key, ((left.values, right.values), strips), MAX_KEPT)
        return strips

    def _canvas(self, size: tuple[int, int], background: Rgb) -> Canvas:
        key = (size, background)
        if key not in self._canvases:
            pixels = (size[0] * self.graphics.cell_px[0], size[1] * self.graphics.cell_px[1])
            _keep(self._canvases, key, make_canvas(self._photos, self.sizes, pixels, background), 16)
        return self._canvases[key]

    def _decode(self, data: bytes) -> Image.Image:
        try:
            photo = decode_image(data)
        except FlowtuiError as error:
            self.problem = visible(error.message)
            return Image.new("RGB", (64, 64), (96, 96, 96))
        photo.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
        return photo


def _keep(store: OrderedDict[Hashable, T], key: Hashable, value: T, most: int) -> None:
    store[key] = value
    while len(store) > most:
        store.popitem(last=False)
