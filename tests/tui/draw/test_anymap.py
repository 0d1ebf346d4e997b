"""Any map, any size: every renderer, the pictures in pixels, and what is made of maps elsewhere."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flowtui.engine.results import Run, Span
from flowtui.tui.colourbar import with_colour_bar
from flowtui.tui.draw import kitty
from flowtui.tui.draw.columns import Columns
from flowtui.tui.draw.graphics import Ascii, Graphics, HalfBlock
from flowtui.tui.draw.heatmatrix import matrix_lines
from flowtui.tui.draw.ink import DARK, LIGHT
from flowtui.tui.draw.sixel import to_sixel
from flowtui.tui.draw.spark import spark
from flowtui.tui.explorer.facts import Heat
from flowtui.tui.explorer.look import OPACITIES, PALETTES
from flowtui.tui.explorer.painter import Painter
from flowtui.tui.overlay import overlay
from tests.factories import png, random_run

GRIDS = [(1, 1), (1, 9), (7, 1), (3, 4), (24, 24)]
SIZES = [(1, 1), (2, 1), (1, 5), (9, 3), (60, 30), (200, 2)]
RNG = np.random.default_rng(7)


def maps_of(count: int) -> dict[str, NDArray[np.float32]]:
    """Maps as a model may have them, divided by their maximum as the explorer does."""
    one = np.zeros(count, np.float32)
    one[count // 2] = 1
    wild = RNG.exponential(1, count).astype(np.float32) ** 8
    return {
        "zero": np.zeros(count, np.float32),
        "flat": np.ones(count, np.float32),
        "one": one,
        "wild": wild / wild.max(),
        "denormal": np.full(count, np.float32(1e-42)),
        "negative": -np.ones(count, np.float32),
    }


def run_of(grid: tuple[int, int], images: int = 1) -> Run:
    """A run of images of odd shapes, each with a grid of its own."""
    run = random_run(layers=1, grid=(1, grid[0] * grid[1] * images), analyses=())
    sizes = tuple([(96, 96), (300, 20), (8, 90)][i] for i in range(images))
    first, each = run.tokens.spans[0].start, grid[0] * grid[1]
    spans = tuple(
        Span(i, first + i * each, first + (i + 1) * each, *grid, grid[1], (0.0, 0.0, *map(float, size)))
        for i, size in enumerate(sizes)
    )
    spec = replace(run.spec, images=tuple(png(*size, seed=i) for i, size in enumerate(sizes)))
    return replace(run, spec=spec, image_sizes=sizes, tokens=replace(run.tokens, spans=spans))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("images", [1, 3])
def test_every_renderer_fills_its_cells_whatever_the_map(grid: tuple[int, int], images: int) -> None:
    run = run_of(grid, images)
    renderers: tuple[Graphics, ...] = (HalfBlock(), Ascii())
    for values in maps_of(grid[0] * grid[1] * images).values():
        heat = Heat(values, None, "1", "peak")
        for graphics in renderers:
            painter = Painter(run, graphics)
            for i, size in enumerate(SIZES):
                ink = (DARK, LIGHT)[i % 2]
                shown = (OPACITIES[i % 4], size, ink.background, PALETTES[i % 3])
                for cell in (None, 0, len(values) - 1):
                    made = painter.draw(heat, *shown, cell)
                    assert [strip.cell_length for strip in made] == [size[0]] * size[1]
                made = painter.difference(heat, replace(heat, values=values[::-1].copy()), 75, size, ink.background)
                assert [strip.cell_length for strip in made] == [size[0]] * size[1]


@pytest.mark.parametrize("grid", GRIDS)
def test_pixels_whatever_the_map(grid: tuple[int, int]) -> None:
    run = run_of(grid)
    painter = Painter(run, HalfBlock())
    for values in maps_of(grid[0] * grid[1]).values():
        heat = Heat(values, None, "1", "peak")
        for size_px in [(1, 1), (7, 3), (90, 60)]:
            canvas = painter.canvas(size_px, DARK.background)
            picture = painter.picture(canvas, heat, 75, DARK.background, "viridis")
            rgb = picture.blended()
            assert (rgb.shape, rgb.dtype) == ((size_px[1], size_px[0], 3), np.uint8)
            sixel = to_sixel(rgb)
            assert sixel.startswith("\x1bP")
            assert sixel.endswith("\x1b\\")
            field = painter.field(canvas, heat)
            assert not (field > 1 + 1e-6).any()
            with Image.open(io.BytesIO(kitty.overlay_png(field, 0.75, "cividis"))) as layer:
                assert layer.size == size_px


@pytest.mark.parametrize("grid", GRIDS)
def test_exported_pictures_whatever_the_map(grid: tuple[int, int]) -> None:
    run = run_of(grid)
    for size in [(1, 1), (40, 3), (3, 40), (500, 20)]:
        photo = Image.open(io.BytesIO(png(*size))).convert("RGB")
        for values in maps_of(grid[0] * grid[1]).values():
            made = overlay(photo, run.tokens, values)
            assert made.size == size
            barred = with_colour_bar(made, "a title that is longer than there is room for " * 3, "0.00123")
            assert barred.width >= 360
            assert barred.height > size[1]


@pytest.mark.parametrize("width", [1, 2, 7, 40, 200])
def test_matrices_and_spark_lines_whatever_the_values(width: int) -> None:
    for count in (1, 12, 96):
        for values in (
            np.zeros((3, count)), np.ones((3, count)), np.full((3, count), np.nan), RNG.random((3, count)),
            np.full((3, count), 1e-300), RNG.random((0, count)),
        ):  # fmt: skip
            columns = Columns(count, width)
            for plain, halves in ((False, False), (False, True), (True, False)):
                made = matrix_lines(DARK, values, columns, plain=plain, halves=halves)
                assert {strip.cell_length for strip in made} <= {columns.used}
                assert len(made) == (-(-len(values) // 2) if halves else len(values))
            for row in values[:1]:
                for height in (1, 4):
                    for high in (0.0, 1e-300, 1.0):
                        lines = spark(columns.spread(row), high, height)
                        assert [len(line) for line in lines] == [columns.used] * height
