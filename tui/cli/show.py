"""`flowtui show`: a run's content without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowtui.errors import UsageError

from .options import Json, RunFile, read_box
from .output import write

if TYPE_CHECKING:
    from flowtui.engine.results import Run
    from flowtui.engine.sweeps.result import Sweep
    from flowtui.tui.masks import Mask


def show(
    path: RunFile,
    layer: Annotated[
        int | None, typer.Option("--layer", metavar="N", min=0, help="Only this layer, with its heads and heat map.")
    ] = None,
    box: Annotated[
        str | None,
        typer.Option("--box", metavar="L,T,R,B", help="Judge the maps by the object's box, in pixels of the image."),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE.png", help="Judge the maps by a mask: what is not zero is the object."),
    ] = None,
    image: Annotated[
        int, typer.Option("--image", metavar="N", min=1, help="The image that the box or mask is of, from 1.")
    ] = 1,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print the per-layer table as CSV.")] = False,
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="K", min=0, help="Of a sweep: the cut by which kept and lost answers are told."),
    ] = None,
) -> None:
    """Print a run or a sweep: answer, cliff and a table over layers."""
    from flowtui.engine.results import Run
    from flowtui.tui.readfile import read_file
    from flowtui.tui.summary import summarise
    from flowtui.tui.table import to_csv, to_json, to_text

    if json and csv:
        raise UsageError("--json and --csv exclude each other.")
    if box is not None and mask is not None:
        raise UsageError("--box and --mask exclude each other.")
    if image != 1 and box is None and mask is None:
        raise UsageError("--image goes with --box or --mask.")
    run = read_file(path)
    if not isinstance(run, Run):
        if layer is not None or box is not None or mask is not None:
            raise UsageError("--layer, --box and --mask are for runs.", "This is a sweep: open one of its items.")
        _show_sweep(run, at, json=json, csv=csv)
        return
    if at is not None:
        raise UsageError("--at is for sweeps.")
    content = summarise(run, layer, _known(run, box, mask, image - 1))
    write(to_json(content) if json else to_csv(content) if csv else to_text(content))


def _show_sweep(sweep: Sweep, at: int | None, *, json: bool, csv: bool) -> None:
    from flowtui.tui.sweepsummary import summarise_sweep
    from flowtui.tui.sweeptable import to_csv, to_text
    from flowtui.tui.table import to_json

    if at is not None and at >= sweep.layers:
        raise UsageError(f"There is no K = {at} below the model's {sweep.layers} layers.")
    content = summarise_sweep(sweep, at)
    write(to_json(content) if json else to_csv(content) if csv else to_text(content))


def _known(run: Run, box: str | None, mask: Path | None, image: int) -> Mask | None:
    """What the user knows of the image: the object's pixels, or nothing."""
    from flowtui.tui.masks import mask_of_box, mask_of_pixels

    from .files import read_mask

    if box is not None:
        return mask_of_box(run, read_box(box), image)
    return None if mask is None else mask_of_pixels(run, read_mask(mask), image)
