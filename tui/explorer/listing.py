"""Run files to choose from: which there are, and what each holds, in short."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flowtui.cache.plain import shown
from flowtui.engine.images import decode_image
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.readfile import read_file
from flowtui.tui.text import visible

from .facts import Facts

MAX_FILES = 500
"""No more of a folder's run files are listed, the latest first."""
MAX_PREVIEW_BYTES = 1 << 28
"""A larger file is listed without its content."""
THUMBNAIL_PX = 96


@dataclass(frozen=True, slots=True)
class Stamp:
    """Tells whether a file is still the same: size in bytes and time of change in ns."""

    size: int
    time: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A run file in short; every text is safe to show.

    Attributes:
        question, answer, model: Of the run.
        about: Layers, cliff and what is missing.
        thumbnail: Its first image, RGB, made small; None where there is none to show.
        problem: Why it cannot be opened, or "".
        stamp: Of the file, when it was read.
    """

    question: str = ""
    answer: str = ""
    model: str = ""
    about: str = ""
    thumbnail: Image.Image | None = None
    problem: str = ""
    stamp: Stamp | None = None


def run_files(folder: Path | None, lately: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """The run files of a folder, the latest first, and those opened lately that lie elsewhere and still exist."""
    found: list[tuple[int, Path]] = []
    if folder is not None:
        try:
            with os.scandir(folder) as entries:
                found = [
                    (_changed(entry), folder / entry.name) for entry in entries if entry.name.lower().endswith(".pkl")
                ]
        except OSError:
            found = []
    here = [path for _, path in sorted(found, key=lambda pair: (-pair[0], pair[1].name))][:MAX_FILES]
    known = set(here)
    return here, [path for text in lately if (path := Path(text)) not in known and _exists(path)]


def stamp_of(path: Path) -> Stamp | None:
    """The file's stamp, or None where there is no such file."""
    try:
        info = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(info.st_size, info.st_mtime_ns)


def read_listed(path: Path) -> Listed:
    """Reads a run file; whatever is wrong with it becomes its `problem`."""
    stamp = stamp_of(path)
    if stamp is not None and stamp.size > MAX_PREVIEW_BYTES:
        return Listed(about=f"{stamp.size >> 20} MiB: too large to be shown here, Enter opens it", stamp=stamp)
    try:
        run = read_file(path)
    except FlowtuiError as error:
        # Its name stands above already.
        return Listed(problem=visible(error.message.replace(shown(path), "It")), stamp=stamp)
    if not isinstance(run, Run):
        items = f"{len(run.items)} items · {run.layers} layers"
        return Listed(f"Sweep of {visible(run.dataset)}", "", visible(run.model.name), items, stamp=stamp)
    return Listed(
        visible(run.spec.question),
        visible(run.answer.text) or "(empty)",
        visible(run.model.name),
        _about(run),
        _thumbnail(run.spec.images[0]),
        stamp=stamp,
    )


def _about(run: Run) -> str:
    facts = Facts(run)
    words = [f"{facts.layers} layers"]
    if facts.cliff is not None:
        words.append("no cliff" if facts.cliff_layer is None else f"cliff K = {facts.cliff_layer}")
    else:
        words.append("cliff not known yet")
    if len(run.spec.images) > 1:
        words.append(f"{len(run.spec.images)} images")
    return " · ".join(words)


def _thumbnail(data: bytes) -> Image.Image | None:
    try:
        image = decode_image(data)
    except FlowtuiError:
        return None
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    return image


def _changed(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_mtime_ns
    except OSError:
        return 0


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
