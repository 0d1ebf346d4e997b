"""The page's pictures: those that flowtui draws of a run, and Figure 5 with a plot for each data set."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from flowtui.tui.charts import COLOURS
from flowtui.tui.figures import PAGE_IN, new_figure, style

from .findings import row_of

DRAWN = {
    "figure-1": ("scienceqa-run", "figure-1"),
    "figure-2a": ("scienceqa-run", "figure-2a"),
    "figure-2b": ("scienceqa-run", "figure-2b"),
    "figure-3": ("scienceqa-run", "figure-3"),
    "figure-4-pope": ("pope-run", "figure-3"),
    "figure-4-textvqa": ("textvqa-run", "figure-3"),
    "figure-9": ("blind-run", "figure-5"),
}
"""Picture -> run and figure that it is. Figure 4 is Figure 3 for other questions, and Figure 9 is drawn as a curve."""

PANELS = (
    ("pope", "pope.accuracy", "POPE-like: accuracy, %"),
    ("textvqa", "textvqa.accuracy", "TextVQA-like: accuracy, %"),
    ("scienceqa", "scienceqa.image_accuracy", "ScienceQA-like: accuracy, %"),
    ("chair", "chair.chair_s", "CHAIR-like: CHAIR_s, %, lower is better"),
)
"""Sweep, metric and title of each plot of Figure 5."""

COLOURS_KEPT = 256


def write_pictures(work: Path, sweeps: Mapping[str, Any], folder: Path) -> None:
    """Writes all pictures into a folder.

    Args:
        work: Where `flowtui export` wrote the runs' figures.
        sweeps: Contents of the sweeps by name.
        folder: Where to; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, (run, figure) in DRAWN.items():
        maps = figure == "figure-3"
        (folder / f"{name}.png").write_bytes(small((work / run / f"{figure}.png").read_bytes(), maps=maps))
    panels = [(row_of(sweeps[sweep], metric), title) for sweep, metric, title in PANELS]
    (folder / "figure-5.png").write_bytes(small(draw_curves([([row], title) for row, title in panels])))
    cut = [row for row in sweeps["strategies"]["rows"] if row["metric"] == "accuracy"]
    (folder / "strategies.png").write_bytes(small(draw_curves([(cut, "All kinds: accuracy, %")])))


def small(png: bytes, *, maps: bool = False) -> bytes:
    """The same picture at about a third of the size; its texts stay.

    Args:
        png: The picture.
        maps: It holds photos and heat, whose colours no palette can hold: it gets half as wide instead.
    """
    with Image.open(io.BytesIO(png)) as picture:
        texts = PngInfo()
        for key, value in picture.info.items():
            if isinstance(value, str):
                texts.add_text(str(key), value)
        plain = picture.convert("RGB")
        reduced = plain.reduce(2) if maps else plain.quantize(COLOURS_KEPT)
        out = io.BytesIO()
        reduced.save(out, "PNG", optimize=True, pnginfo=texts)
    return out.getvalue()


def draw_curves(panels: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> bytes:
    """Scores over K with their intervals, and the cliffs with theirs: PNG.

    Args:
        panels: Lines of one sweep's table, one for each way of cutting, and a title.
    """
    out = io.BytesIO()
    down = -(-len(panels) // 2)
    with style():
        figure = new_figure(PAGE_IN if len(panels) > 1 else PAGE_IN / 2, 2.1 * down)
        plots = figure.subplots(down, min(2, len(panels)), sharex=True, squeeze=False)
        for at, (rows, title) in zip(plots.ravel(), panels, strict=False):
            for colour, row in zip(COLOURS, rows, strict=False):
                _curve(at, row, colour, several=len(rows) > 1)
            at.set_title(title, loc="left")
            at.legend(frameon=False)
        for at in plots[-1]:
            at.set_xlabel("K: leading layers that see the image")
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _curve(at: Any, row: Mapping[str, Any], colour: str, *, several: bool) -> None:
    k = np.arange(len(row["score"]))
    cliff = "no cliff" if row["cliff"] is None else f"cliff K = {row['cliff']}"
    low, high = (100 * np.array(row[edge]) for edge in ("score_low", "score_high"))
    at.fill_between(k, low, high, color=colour, alpha=0.2, linewidth=0)
    at.plot(k, 100 * np.array(row["score"]), color=colour, label=f"{row['cut']}: {cliff}" if several else cliff)
    if row["cliff"] is not None:
        at.axvspan(*row["cliff_interval"], color=colour, alpha=0.08, linewidth=0)
        at.axvline(row["cliff"], color=colour, linewidth=0.8, linestyle="--")
