"""A picture of the screen: its maps in pixels, and nothing from elsewhere."""

from __future__ import annotations

import io
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from flowtui.errors import UsageError
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.pictured import pictures, screen_svg
from flowtui.tui.screenshot import CELL, local_svg, to_png
from tests.factories import random_run

RUN = random_run()
IMAGE = "{http://www.w3.org/2000/svg}image"


async def svg_of(look: Look, *keys: str, **how: object) -> tuple[str, list[tuple[int, int, int, int]]]:
    """The screen's SVG, and where maps are on it."""
    app = ExplorerApp(RUN, **how)
    async with app.run_test(size=(120, 40)) as pilot:
        app.look_at(look)
        await pilot.press(*keys)
        await pilot.pause()
        return screen_svg(app, "a <title>"), [cells for cells, _ in pictures(app)]


@pytest.mark.parametrize(("view", "maps"), [("main", 1), ("grid", 12), ("heads", 1), ("compare", 2), ("truncation", 0)])
async def test_every_map_of_a_view_is_there_in_pixels(view: str, maps: int) -> None:
    svg, cells = await svg_of(Look(view=view, layer=3, kind="attention"))
    found = list(ET.fromstring(svg).iter(IMAGE))
    assert len(found) == len(cells) == maps
    for image, (left, top, wide, high) in zip(found, cells, strict=True):
        place = [float(image.get(name, "")) for name in ("x", "y", "width", "height")]
        expected = [left * CELL[0], top * CELL[1] + 1.5, wide * CELL[0], high * CELL[1]]
        assert place == pytest.approx(expected, abs=0.06)
    # Nothing is fetched when it is opened. With the colon: the letters alone turn up in encoded pixels.
    assert "http:" not in svg.replace("http://www.w3.org", "").replace("https://www.textualize.io", "")
    assert "https:" not in svg.replace("https://www.textualize.io", "")


async def test_a_map_covers_the_cells_it_was_drawn_in() -> None:
    svg, ((left, top, wide, high),) = await svg_of(Look(layer=3))
    with_map = np.asarray(Image.open(io.BytesIO(to_png(svg))).convert("RGB")).astype(int)
    without = ET.fromstring(svg)
    for parent in without.iter():
        for image in parent.findall(IMAGE):
            parent.remove(image)
    cells_alone = np.asarray(Image.open(io.BytesIO(to_png(ET.tostring(without, "unicode")))).convert("RGB")).astype(int)
    differ = np.abs(with_map - cells_alone).max(axis=2) > 8
    ys, xs = np.nonzero(differ)
    assert xs.min() >= 9 + left * CELL[0] - 1
    assert xs.max() <= 9 + (left + wide) * CELL[0] + 1
    assert ys.min() >= 41 + top * CELL[1]
    assert ys.max() <= 41 + (top + high) * CELL[1] + 3
    # Half blocks are coarser, but they show the same: no shift, no other map.
    rows = slice(int(45 + top * CELL[1]), int(41 + (top + high) * CELL[1]))
    box = (rows, slice(int(12 + left * CELL[0]), int(6 + (left + wide) * CELL[0])))
    assert np.abs(with_map[box] - cells_alone[box]).mean() < 12


async def test_the_cursor_opacity_and_character_art() -> None:
    (svg, _), (plain, _) = await svg_of(Look(layer=3), "i"), await svg_of(Look(layer=3))
    images = [next(ET.fromstring(text).iter(IMAGE)).get("href") for text in (svg, plain)]
    assert images[0] != images[1]
    photo, _ = await svg_of(Look(layer=3, opacity=0))
    assert next(ET.fromstring(photo).iter(IMAGE)).get("href") not in images
    svg, cells = await svg_of(Look(layer=3), graphics=Ascii())
    assert (cells, "<image" in svg) == ([], False)


async def test_a_dialog_is_not_covered() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert "<image" not in screen_svg(app)


def test_what_is_no_screen_stays_as_it_is() -> None:
    assert local_svg("<svg/>", []) == "<svg/>"


def test_without_what_draws_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UsageError, match="resvg-py") as caught:
        to_png("<svg/>")
    assert "flowtui[figures]" in caught.value.hint
