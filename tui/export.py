"""Writes a run's maps, shares and curves as files that other programs open.

cam, attention   png: one picture per layer, the map over the image with its colour bar; svg: one sheet of all
                 layers; csv, json: the values on the grid, before division by their maximum
saliency         maps as of these, and the flow between token groups over layers as a chart or its values
flow             attention shares over layers: png, svg: a chart; csv, json: the values
truncation       KL and log-probability over K: png, svg: charts; csv, json: the values and the text at each K
knockout         change of the answer's probability by edge over layers: png, svg: a chart; csv, json: the values
faithfulness     areas under the curves of deletion and insertion over layers: png, svg: charts; csv, json: with the
                 whole curves
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowtui.engine.images import decode_image
from flowtui.engine.results import Run
from flowtui.errors import UsageError

from .colourbar import colour_ramp, with_colour_bar
from .content.grids import MAP_NAMES, MAP_OF, map_value
from .made_from import FORMATS, MADE_FROM
from .overlay import highest, overlay
from .series import SERIES, csv_bytes, png_bytes, series_files
from .summary import grid_heat, summarise
from .table import to_json
from .text import visible

WHAT = tuple(MADE_FROM)
TILE_PX = 144
RAMP_PX = (160, 10)

Maps = dict[int, NDArray[Any]]


def export_run(run: Run, what: Sequence[str], format: str, folder: Path) -> list[Path]:
    """Writes files into a folder, which is made where it is missing; files of the same names are replaced.

    Args:
        run: The run.
        what: Some of `WHAT`; empty means all that the run has results for.
        format: One of `FORMATS`.
        folder: Where to.

    Returns:
        The files, in the order they were written.

    Raises:
        UsageError: Unknown `what` or format, or the run lacks the analysis it needs.
        OSError: A file cannot be written.
    """
    _check(run, what, format)
    chosen = list(dict.fromkeys(what)) or [name for name in WHAT if MADE_FROM[name] in run.analyses]
    if not chosen:
        raise UsageError("The run has no results yet.", "Compute them with: flowtui precompute RUN.pkl")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in chosen:
        for file, data in _files(run, name, format):
            path = folder / file
            path.write_bytes(data)
            written.append(path)
    return written


def _check(run: Run, what: Sequence[str], format: str) -> None:
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    for name in what:
        if name not in WHAT:
            raise UsageError(f"There is nothing called {name!r} to export.", f"Use some of {', '.join(WHAT)}.")
        if MADE_FROM[name] not in run.analyses:
            hint = f"Compute it with: flowtui precompute RUN.pkl --analysis {MADE_FROM[name]}"
            raise UsageError(f"The run holds no {MADE_FROM[name]} results, which {name} is made from.", hint)


def _files(run: Run, name: str, format: str) -> Iterable[tuple[str, bytes]]:
    """The files for one of `WHAT`: name, content."""
    if name in MAP_OF:
        found = {k: MAP_OF[name](result) for k, result in sorted(run.analyses[name].layers.items())}
        yield from _MAP_WRITERS[format](run, name, {k: values for k, values in found.items() if values is not None})
    if name in SERIES:
        yield from series_files(run, name, format)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A map over an image.

    Attributes:
        stem: Of its file.
        where: Layer, and image where there are several.
        high: The map's maximum with its unit, "" where it is zero everywhere.
        image: The picture.
    """

    stem: str
    where: str
    high: str
    image: Image.Image


def _pictures(run: Run, name: str, maps: Maps) -> Iterable[_Picture]:
    """One of each image and layer."""
    several = len(run.spec.images) > 1
    for i, data in enumerate(run.spec.images):
        picture = decode_image(data)
        for layer, values in maps.items():
            of_image = f"-image-{i + 1}" if several else ""
            where = f"layer {layer}" + (f", image {i + 1}" if several else "")
            top = highest(run.tokens, values, i, picture.size)
            high = map_value(name, top) if top > 0 else ""
            shown = overlay(picture, run.tokens, values, i)
            yield _Picture(f"{name}{of_image}-layer-{layer:02d}", where, high, shown)


def _map_png(run: Run, name: str, maps: Maps) -> Iterable[tuple[str, bytes]]:
    for one in _pictures(run, name, maps):
        zero = "" if one.high else ": zero everywhere"
        title = f"{MAP_NAMES[name]}, {one.where} of {run.model.layers - 1}{zero}"
        yield f"{one.stem}.png", png_bytes(with_colour_bar(one.image, title, one.high))


def _map_svg(run: Run, name: str, maps: Maps) -> Iterable[tuple[str, bytes]]:
    """One sheet of all layers, the paper's Figure 3."""
    tiles = list(_pictures(run, name, maps))
    columns = min(6, max(1, len(tiles)))
    step, rows = TILE_PX + 12, -(-len(tiles) // columns)
    body = []
    for i, one in enumerate(tiles):
        x, y = 12 + i % columns * step, 34 + i // columns * (step + 16)
        body.append(
            f'<image x="{x}" y="{y}" width="{TILE_PX}" height="{TILE_PX}" image-rendering="pixelated" '
            f'href="{_link(one.image)}"/>'
        )
        caption = f"{one.where}, max {one.high}" if one.high else f"{one.where}: zero"
        body.append(f'<text x="{x}" y="{y + TILE_PX + 13}">{escape(caption)}</text>')
    below = 34 + rows * (step + 16) + 8
    body.append(f'<text x="12" y="{below}">0</text>')
    body.append(f'<image x="24" y="{below - RAMP_PX[1]}" width="{RAMP_PX[0]}" height="{RAMP_PX[1]}" '
                f'preserveAspectRatio="none" href="{_link(colour_ramp(*RAMP_PX))}"/>')  # fmt: skip
    body.append(f'<text x="{RAMP_PX[0] + 30}" y="{below}">max, of each map its own</text>')
    title = escape(visible(f"{name}: {run.spec.question} {run.answer.text}"))
    yield (
        f"{name}.svg",
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * step + 12} {below + 12}" '
            f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>\n'
            f'<text x="12" y="20" font-size="14">{title}</text>\n' + "\n".join(body) + "\n</svg>\n"
        ).encode(),
    )


def _link(image: Image.Image) -> str:
    """The picture itself, as an address."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()


def _map_csv(run: Run, name: str, maps: Maps) -> Iterable[tuple[str, bytes]]:
    rows = [
        (layer, i, row, col, float(grid[row, col]))
        for layer, values in maps.items()
        for i, grid in enumerate(grid_heat(run, values))
        if grid is not None
        for row, col in np.ndindex(*grid.shape)
    ]
    yield f"{name}.csv", csv_bytes(("layer", "span", "row", "col", "value"), rows)


def _map_json(run: Run, name: str, maps: Maps) -> Iterable[tuple[str, bytes]]:
    layers = [
        {"layer": layer, "grids": [None if g is None else g.astype(float).tolist() for g in grid_heat(run, values)]}
        for layer, values in maps.items()
    ]
    tokens = summarise(run)["tokens"]
    places = {name: tokens[name] for name in ("spans", "projections")}
    yield f"{name}.json", to_json({**places, "layers": layers}).encode()


_MAP_WRITERS: dict[str, Callable[[Run, str, Maps], Iterable[tuple[str, bytes]]]] = {
    "png": _map_png,
    "svg": _map_svg,
    "csv": _map_csv,
    "json": _map_json,
}
