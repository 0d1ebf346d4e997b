"""Walks through the explorer on a shipped run and takes a picture of every view: `make tour`.

Writes docs/tour/*.png and docs/tour.md, which shows them. Pictures are drawn from Textual's own SVG of the screen, with
the font that matplotlib brings.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import resvg_py

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.tui.draw.graphics import Ascii, Graphics, HalfBlock
from flowtui.tui.explorer.app import ExplorerApp

HERE = Path(__file__).parent
RUN = HERE.parent / "examples" / "shape.pkl"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
FONT = "DejaVu Sans Mono"


@dataclass(frozen=True, slots=True)
class Stop:
    """One picture.

    Attributes:
        name: Of the file.
        about: What it shows, one or two sentences.
        keys: Pressed one after the other, as Textual names them.
        size: Columns and rows of the terminal.
        theme: Of the explorer.
        graphics: Renderer.
    """

    name: str
    about: str
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (120, 40)
    theme: str = "textual-dark"
    graphics: type[Graphics] = HalfBlock


STOPS: tuple[Stop, ...] = (
    Stop("main", "The main view at the layer before the cliff, the attention map on.", ("c", "h", "m")),
    Stop("main-80x24", "The same in a terminal of 80 by 24.", ("c", "h", "m"), (80, 24)),
    Stop("inspect", "`i` puts a cursor on the map: its value in numbers.", ("c", "h", "i", "down")),
    Stop("grid", "`2`: every layer's map, as in the paper's Figure 3.", ("2", "c", "h")),
    Stop("heads", "`3`: image share of every head of every layer; the chosen head's map.", ("3", "c", "h", "j", "j")),
    Stop("tokens", "`4`: the whole sequence, shaded by what an answer token looks at.", ("4", "c", "h")),
    Stop("flow", "`5`: saliency flow into the answer, and what cutting connections costs.", ("5", "c", "h")),
    Stop(
        "matrix",
        "`6`: the attention of all tokens to all tokens, aligned to the groups (Figure 2B).",
        ("6", "l", "l", "l", "l"),
    ),
    Stop("truncation", "`7`: the answer with the image cut at every K.", ("7", "c")),
    Stop("lens", "`8`: what each layer would say.", ("8", "c", "h")),
    Stop(
        "compare", "`9`: the pinned layer beside the current one, and their difference.", ("c", "h", "x", "h", "h", "9")
    ),
    Stop("light", "A light theme.", ("c", "h"), theme="textual-light"),
    Stop("characters", "Without colour: denser glyphs are hotter.", ("c", "h", "m"), (80, 24), graphics=Ascii),
    Stop("help", "`?`: every key, and how to read the view.", ("question_mark",)),
    Stop("palette", "`ctrl+p`: every action by name.", ("ctrl+p",)),
)


async def take(stop: Stop) -> bytes:
    """One picture, PNG."""
    app = ExplorerApp(Run.from_plain(read_plain(RUN)), path=RUN, graphics=stop.graphics())
    async with app.run_test(size=stop.size) as pilot:
        app.theme = stop.theme
        await pilot.press(*stop.keys)
        await pilot.pause()
        svg = app.export_screenshot(title=f"flowtui {RUN.name}")
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=svg, font_dirs=[str(FONTS)], font_family=FONT, monospace_family=FONT, skip_system_fonts=True
        )
    )


def main() -> None:
    """Takes all pictures, or those named."""
    parser = argparse.ArgumentParser(description="Take a picture of every view.")
    parser.add_argument("names", nargs="*", help="only these stops")
    parser.add_argument("--into", type=Path, default=HERE)
    options = parser.parse_args()
    folder = options.into / "tour"
    folder.mkdir(parents=True, exist_ok=True)
    for stop in STOPS:
        if not options.names or stop.name in options.names:
            path = folder / f"{stop.name}.png"
            path.write_bytes(asyncio.run(take(stop)))
            print(path)
    (options.into / "tour.md").write_text(page(), "utf-8")


def page() -> str:
    """docs/tour.md."""
    parts = [
        "# A tour of the explorer\n",
        f"Taken by `make tour` from `examples/{RUN.name}`; keys are those of `flowtui explore examples/{RUN.name}`.\n",
    ]
    for stop in STOPS:
        pressed = " ".join(f"`{key}`" for key in stop.keys) or "none"
        parts.append(
            f"## {stop.name}\n\n{stop.about} Keys pressed: {pressed}.\n\n![{stop.name}](tour/{stop.name}.png)\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    main()
