"""The paper's figures of a run, ready for print: matplotlib, vector formats, the data as CSV beside each.

Source: Zhang et al., NAACL 2025: Figure 1 (flow between token groups), 2A (attention shares over layers), 2B (attention
matrices, aligned to the groups), 3 (maps of all layers), 5 (what remains of the answer when the image is cut). Of one
run; the paper's own are means over data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from flowtui.engine.images import decode_image
from flowtui.engine.results import GROUPS, Run
from flowtui.errors import UsageError

from .charts import COLOURS
from .colourbar import colour_ramp
from .content.grids import MAP_OF
from .overlay import overlay
from .series import csv_bytes
from .summary import grid_heat, summarise
from .text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png")
COLUMN_IN, PAGE_IN = 3.3, 6.9
"""Widths of a column and of both, inches."""
MATRICES = 4
ROWS = Sequence[Sequence[Any]]

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "savefig.dpi": 300,
    # Text stays text, and fonts are embedded whole: what publishers ask for.
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    # The same run gives the same bytes.
    "svg.hashsalt": "flowtui",
}


@dataclass(frozen=True, slots=True)
class Plate:
    """How one figure is made.

    Attributes:
        needs: The analysis it shows.
        draw: Draws it.
        data: Header and rows of its CSV.
    """

    needs: str
    draw: Callable[[Run], Figure]
    data: Callable[[Run], tuple[Sequence[str], ROWS]]


def write_figures(run: Run, names: Sequence[str], format: str, folder: Path, command: str) -> list[Path]:
    """Writes figures and their data into a folder.

    Args:
        run: The run.
        names: Some of `FIGURES`; empty means all that the run has results for.
        format: One of `FORMATS`.
        folder: Where to; made if missing.
        command: The command that asked for it, kept in the figure's metadata.

    Raises:
        UsageError: No such figure or format, results that are missing, or matplotlib is.
        OSError: A file cannot be written.
    """
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"There is no figure {name!r}.", f"Use some of {', '.join(FIGURES)}.")
        needs = FIGURES[name].needs
        if needs not in run.analyses:
            raise UsageError(
                f"The run holds no {needs} results, which figure {name} is made from.",
                f"Compute them with: flowtui precompute RUN.pkl --analysis {needs}",
            )
    if format not in FORMATS:
        raise UsageError(f"Figures are not written as {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names or [name for name, plate in FIGURES.items() if plate.needs in run.analyses]:
        plate, path = FIGURES[name], folder / f"figure-{name}.{format}"
        with style():
            plate.draw(run).savefig(path, metadata=metadata(format, name, command))
        table = path.with_suffix(".csv")
        table.write_bytes(csv_bytes(*plate.data(run)))
        written += [path, table]
    return written


def command_for(name: str, figure: str, format: str, folder: Path) -> str:
    """The command that writes figures.

    Args:
        name: Of the run file.
        figure: Which figures, as the option has it.
        format: One of `FORMATS`.
        folder: Where to.
    """
    return join(("flowtui", "export", name, "--figure", figure, "--format", format, "-o", folder.name or str(folder)))


@contextmanager
def style() -> Iterator[None]:
    """How figures look, for as long as one is drawn.

    Raises:
        UsageError: There is no matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise UsageError("Figures need matplotlib.", "Install it with: pip install 'flowtui[figures]'") from error
    with mpl.rc_context(cast(Any, STYLE)):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def metadata(format: str, name: str, command: str) -> dict[str, Any]:
    """What each format calls a title, a description and a maker; no date, so that the same run gives the same file."""
    from flowtui import __version__

    title, maker = f"Figure {name.upper()}", f"flowtui {__version__}"
    if format == "pdf":
        return {"Title": title, "Subject": command, "Creator": maker, "CreationDate": None}
    if format == "svg":
        return {"Title": title, "Description": command, "Creator": maker, "Date": None}
    return {"Title": title, "Description": command, "Software": maker}


def _legend_above(figure: Figure, lines: int) -> None:
    """In a row of its own over the plot, where no line passes."""
    figure.legend(loc="outside upper center", ncols=min(lines, 4), frameon=False, columnspacing=1.2, handlelength=1.5)


def _flow(run: Run) -> Figure:
    flow = summarise(run)["saliency"]["flow"]
    figure = new_figure(COLUMN_IN, 2.2)
    axes = figure.subplots()
    # With one answer token nothing flows from answer to answer: no line on a log scale.
    shown = [(n, v) for n, v in flow.items() if n.endswith("->answer") and any(v)]
    for colour, (name, values) in zip(COLOURS, shown, strict=False):
        axes.plot(_numbers(values), color=colour, label=name.replace("->", " → "))
    axes.set(xlabel="layer", ylabel="saliency per pair", yscale="log")
    _legend_above(figure, len(shown))
    return figure


def _flow_data(run: Run) -> tuple[Sequence[str], ROWS]:
    flow = summarise(run)["saliency"]["flow"]
    return ("layer", *flow), [(i, *row) for i, row in enumerate(zip(*flow.values(), strict=True))]


def _shares(run: Run) -> Figure:
    share = summarise(run)["attention"]["share"]
    figure = new_figure(COLUMN_IN, 2.2)
    axes = figure.subplots()
    for colour, group in zip(COLOURS, GROUPS, strict=False):
        axes.plot(_numbers(share[group]), color=colour, label=group)
    axes.set(xlabel="layer", ylabel="share of attention", ylim=(0, 1))
    _legend_above(figure, len(GROUPS))
    return figure


def _shares_data(run: Run) -> tuple[Sequence[str], ROWS]:
    share = summarise(run)["attention"]["share"]
    return ("layer", *GROUPS), [(i, *(share[g][i] for g in GROUPS)) for i in range(run.model.layers)]


def _matrices(run: Run) -> Figure:
    from matplotlib.colors import LogNorm

    layers = sorted(run.analyses["matrix"].layers)
    chosen = [layers[i] for i in sorted({round(x) for x in np.linspace(0, len(layers) - 1, MATRICES)})]
    figure = new_figure(PAGE_IN, PAGE_IN / len(chosen) + 0.35)
    axes = figure.subplots(1, len(chosen), squeeze=False)[0]
    image: Any = None
    for at, layer in zip(axes, chosen, strict=True):
        arrays = run.analyses["matrix"].layers[layer].arrays
        share, edges = arrays["share"], arrays["edges"]
        image = at.pcolormesh(
            edges, edges, np.maximum(share, 1e-6), norm=LogNorm(1e-4, 1), cmap="inferno", rasterized=True
        )
        at.invert_yaxis()
        at.set(title=f"layer {layer}", xlabel="key token", aspect="equal")
        _borders(at, run)
    axes[0].set_ylabel("query token")
    figure.colorbar(image, ax=axes, label="share of attention", shrink=0.8)
    return figure


def _borders(axes: Axes, run: Run) -> None:
    """Lines where one group ends and the next begins."""
    for at in (np.flatnonzero(np.diff(run.tokens.group)) + 1).tolist():
        axes.axhline(at, color="white", linewidth=0.4)
        axes.axvline(at, color="white", linewidth=0.4)


def _matrices_data(run: Run) -> tuple[Sequence[str], ROWS]:
    rows = [
        (layer, int(edges[i]), int(edges[j]), float(share[i, j]))
        for layer, result in sorted(run.analyses["matrix"].layers.items())
        for share, edges in [(result.arrays["share"], result.arrays["edges"])]
        for i, j in np.ndindex(*share.shape)
    ]
    return ("layer", "query_start", "key_start", "share"), rows


def _maps(run: Run) -> Figure:
    layers = sorted(run.analyses["cam"].layers)
    across = min(8, len(layers))
    down = -(-len(layers) // across)
    picture = decode_image(run.spec.images[0])
    height = PAGE_IN / across * picture.height / picture.width + 0.16
    figure = new_figure(PAGE_IN, down * height + 0.5)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for at in axes:
        at.axis("off")
    for at, layer in zip(axes, layers, strict=False):
        heat = MAP_OF["cam"](run.analyses["cam"].layers[layer])
        zero = heat is None or not float(np.max(heat, initial=0)) > 0
        at.imshow(picture if heat is None else overlay(picture, run.tokens, heat, 0))
        at.set_title(f"layer {layer}" + (" (zero)" if zero else ""), pad=2)
    _colour_bar(figure, axes.tolist())
    return figure


def _colour_bar(figure: Figure, axes: list[Axes]) -> None:
    """The colours that heat has over a grey photo, from nothing to each map's own maximum."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap

    colours = ListedColormap(np.asarray(colour_ramp(256, 1))[0] / 255)
    bar = figure.colorbar(ScalarMappable(cmap=colours), ax=axes, location="bottom", shrink=0.4, aspect=40, pad=0.02)
    bar.set_ticks([0, 1], labels=["0", "max"])
    bar.set_label("LLaVA-CAM, each map scaled to its own maximum")


def _maps_data(run: Run) -> tuple[Sequence[str], ROWS]:
    rows = [
        (layer, span, row, col, float(grid[row, col]))
        for layer, result in sorted(run.analyses["cam"].layers.items())
        for span, grid in enumerate(grid_heat(run, result.arrays["heat"][0]))
        if grid is not None
        for row, col in np.ndindex(*grid.shape)
    ]
    return ("layer", "span", "row", "col", "heat"), rows


def _truncation(run: Run) -> Figure:
    content = summarise(run)
    curve, cliff = content["truncation"], content["cliff"]
    figure = new_figure(COLUMN_IN, 3.2)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(curve["k"], _numbers(curve["logprob"]), color=COLOURS[0])
    above.set(ylabel="log-probability\nof the answer (nats)")
    below.plot(curve["k"], _numbers(curve["kl"]), color=COLOURS[1])
    below.set(ylabel="KL (nats)", xlabel="K: leading layers that see the image")
    same = [k for k, is_same in zip(curve["k"], curve["same_answer"], strict=True) if is_same]
    below.plot(same, [0] * len(same), "|", color=COLOURS[2], label="same answer")
    below.legend(frameon=False)
    for axes in (above, below):
        if cliff and cliff["k"] is not None:
            axes.axvline(cliff["k"], color="0.5", linewidth=0.8, linestyle="--")
    if cliff:
        above.set_title("no cliff" if cliff["k"] is None else f"cliff at K = {cliff['k']}", loc="left")
    return figure


def _truncation_data(run: Run) -> tuple[Sequence[str], ROWS]:
    curve = summarise(run)["truncation"]
    names = ("k", "logprob", "kl", "same_answer", "text")
    text = [t and visible(t) for t in curve["text"]]
    return names, list(zip(*({**curve, "text": text}[name] for name in names), strict=True))


def _numbers(values: Sequence[float | None]) -> list[float]:
    """What is missing leaves a gap."""
    return [np.nan if value is None else value for value in values]


FIGURES: dict[str, Plate] = {
    "1": Plate("saliency", _flow, _flow_data),
    "2a": Plate("attention", _shares, _shares_data),
    "2b": Plate("matrix", _matrices, _matrices_data),
    "3": Plate("cam", _maps, _maps_data),
    "5": Plate("truncation", _truncation, _truncation_data),
}
"""Figures by their number in the paper."""
