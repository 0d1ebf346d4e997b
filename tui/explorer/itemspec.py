"""What to ask so that a run is an item of a sweep: the same words about the same image, to the same model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flowtui.engine.spec import RunSpec
from flowtui.engine.sweeps.result import Sweep, SweptItem
from flowtui.errors import UsageError
from flowtui.tui.text import visible

FOLDERS = ("", "val2014", "images/val2014", "train_images", "train", "test", "val", "images/test", "images/val")
"""Where in the folder that was given the images usually lie."""


def item_spec(sweep: Sweep, item: int, images: Path | None) -> RunSpec:
    """An item's run.

    Args:
        sweep: The sweep.
        item: Index of the item.
        images: Folder of the data set's images; the demo needs none.

    Raises:
        UsageError: The item has no image, or the image is not there or not the one that was asked about.
    """
    kept, model = sweep.items[item], sweep.model
    if kept.image is None:
        raise UsageError("This item has no image, so there is no run to make of it.")
    data = _demo_image(sweep, kept) if sweep.dataset == "demo" else _image_file(kept.image, images)
    spec = RunSpec(model=model.name, images=(data,), question=kept.prompt, revision=model.revision, dtype=model.dtype)
    tokens = sweep.options.get("max_new_tokens")
    return replace(spec, max_new_tokens=tokens) if type(tokens) is int and tokens > 0 else spec


def _image_file(name: str, images: Path | None) -> bytes:
    """An image of the data set's official files."""
    from flowtui.engine.datasets.imagefiles import find_folder

    if images is None:
        raise UsageError(
            f"The item's image is {visible(name)}, and a sweep holds no images.",
            "Open it with: flowtui explore SWEEP.pkl --images DIR",
        )
    return find_folder(images, FOLDERS, [name]).read(name)


def _demo_image(sweep: Sweep, kept: SweptItem) -> bytes:
    """A scene of the demo world, made anew from the sweep's seed."""
    from flowtui.engine.datasets.demo import open_demo
    from flowtui.engine.demo.questions import KINDS

    told = sweep.options.get("dataset")
    options = told if isinstance(told, dict) else {}
    try:
        dataset = open_demo(len(sweep.items), options.get("seed", 0), options.get("kinds") or KINDS)
        found = next(one for one in dataset.items if one.id == kept.id and one.prompt == kept.prompt)
    except (StopIteration, TypeError, ValueError):
        raise UsageError("The demo world has no such item.", "Make the sweep again: flowtui sweep demo.") from None
    data = dataset.image_bytes(found)
    assert data is not None  # every item of the demo world has one
    return data
