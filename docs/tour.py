"""Walks through the explorer on a shipped run and takes a picture of every view: `make tour`.

Writes docs/tour/*.png and docs/tour.md, which shows them. Pictures are those that the explorer's own export makes of
its screen; where a stop says so, with the maps in pixels, as kitty, foot and other terminals draw them.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flowtui.tui.draw.graphics import Ascii, Graphics, HalfBlock
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.keptengine import KeptEngine
from flowtui.tui.explorer.pictured import screen_svg
from flowtui.tui.readfile import read_file
from flowtui.tui.screenshot import local_svg, to_png

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
RUN, CAPTION = EXAMPLES / "shape.pkl", EXAMPLES / "caption.pkl"
SWEEP = HERE / "tour" / "sweep.pkl"
"""`flowtui sweep demo --limit 70 --seed 1 --strategy all,top-16,random-16`: too few items to certify a cliff."""
KEY_NAMES = {"right_square_bracket": "]", "question_mark": "?"}


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
        pixels: Whether maps are shown in pixels.
        file: What is explored.
    """

    name: str
    about: str
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (120, 40)
    theme: str = "textual-dark"
    graphics: type[Graphics] = HalfBlock
    pixels: bool = False
    file: Path = RUN


STOPS: tuple[Stop, ...] = (
    Stop(
        "main",
        "The main view at the layer before the cliff, the attention map on, in a terminal that draws pixels.",
        ("c", "h", "m"),
        pixels=True,
    ),
    Stop("main-80x24", "The same in a terminal of 80 by 24 with half blocks, as in tmux.", ("c", "h", "m"), (80, 24)),
    Stop("inspect", "`i` puts a cursor on the map: its value in numbers.", ("c", "h", "i", "down"), pixels=True),
    Stop(
        "grid",
        "`2`: every layer's map, as in the paper's Figure 3, with how far each is spread. `s` goes to the sharpest.",
        ("2", "s", "s"),
        pixels=True,
    ),
    Stop("grid-one-scale", "`n` there: all maps on one scale, so that layers compare.", ("2", "m", "c", "h", "n")),
    Stop(
        "heads",
        "`3`: image share of every head of every layer; the chosen head's map.",
        ("3", "c", "h", "j", "j"),
        pixels=True,
    ),
    Stop("tokens", "`4`: the whole sequence, shaded by what an answer token looks at.", ("4", "c", "h")),
    Stop(
        "tokens-of-a-caption",
        "The same for a longer answer: `]` picks the word, the shades are what it looks at.",
        ("4", "c", *["right_square_bracket"] * 3),
        file=CAPTION,
    ),
    Stop("flow", "`5`: saliency flow into the answer, and what cutting connections costs.", ("5", "c", "h")),
    Stop(
        "matrix",
        "`6`: the attention of all tokens to all tokens, aligned to the groups (Figure 2B).",
        ("6", "l", "l", "l", "l"),
    ),
    Stop("truncation", "`7`: the answer with the image cut at every K.", ("7", "c")),
    Stop("lens", "`8`: what each layer would say.", ("8", "c", "h")),
    Stop("lens-patches", "`t` there: the likeliest word at each image token.", ("8", "c", "t")),
    Stop(
        "compare",
        "`9`: the pinned layer beside the current one, and their difference.",
        ("c", "h", "x", "h", "h", "9"),
        pixels=True,
    ),
    Stop(
        "sweep",
        "A sweep over a data set: the score with the image cut at every K, its bands, the cliff with its interval "
        "(here 70 items are too few to certify one), and the items that flip at the chosen K. Enter opens one as a "
        "run.",
        ("L", "h", "h", "h", "j"),
        file=SWEEP,
    ),
    Stop("sweep-80x24", "The same in a terminal of 80 by 24.", ("L", "h", "h", "h", "j"), (80, 24), file=SWEEP),
    Stop(
        "sweep-difference",
        "`t` there: the difference from the untouched model, near the margin; `]` another way of cutting, `m` another "
        "metric.",
        ("L", "h", "h", "h", "t", "right_square_bracket"),
        file=SWEEP,
    ),
    Stop("light", "A light theme.", ("c", "h"), theme="textual-light", pixels=True),
    Stop("characters", "Without colour: denser glyphs are hotter.", ("c", "h", "m"), (80, 24), graphics=Ascii),
    Stop("ask", "`a`: another question, image or model; the answer fills in layer by layer.", ("a",)),
    Stop("help", "`?`: every key, and how to read the view.", ("2", "question_mark")),
    Stop("palette", "`ctrl+p`: every action by name.", ("ctrl+p",)),
)


async def take(stop: Stop) -> bytes:
    """One picture, PNG."""
    app = ExplorerApp(read_file(stop.file), path=stop.file, graphics=stop.graphics(), engine=KeptEngine("local"))
    async with app.run_test(size=stop.size) as pilot:
        app.theme = stop.theme
        # What is looked for in threads is part of the picture.
        for key in (None, *stop.keys, None):
            if key is not None:
                await pilot.press(key)
            await pilot.pause()
            await app.workers.wait_for_complete()
        await pilot.pause()
        # Where one was pinned, the toast about it would lie over the picture.
        app.clear_notifications()
        await pilot.pause()
        title = f"flowtui {stop.file.name}"
        svg = screen_svg(app, title) if stop.pixels else local_svg(app.export_screenshot(title=title), ())
    return smaller(to_png(svg))


def smaller(png: bytes) -> bytes:
    """The picture in 256 colours: photos of noise take several times less."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(out, "PNG", optimize=True)
    return out.getvalue()


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
        f"Taken by `make tour`; keys are those of `flowtui explore examples/{RUN.name}`, or of the file named.\n",
    ]
    for stop in STOPS:
        pressed = " ".join(f"`{KEY_NAMES.get(key, key)}`" for key in stop.keys) or "none"
        of = "" if stop.file == RUN else f" (`{stop.file.relative_to(HERE.parent)}`)"
        parts.append(
            f"## {stop.name}\n\n{stop.about} Keys pressed{of}: {pressed}.\n\n![{stop.name}](tour/{stop.name}.png)\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    main()
