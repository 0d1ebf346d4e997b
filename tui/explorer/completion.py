"""Names that a half-typed text can become."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm")
MAX_SEEN = 20_000
"""No more entries of a folder are looked at."""
MAX_SHOWN = 200


def paths_for(text: str, suffixes: Sequence[str] = ()) -> list[str]:
    """Paths that begin with the text, as they would be typed: folders first, with a slash at the end.

    Args:
        text: What has been typed: relative to the current folder, absolute, or beginning with "~/".
        suffixes: Of the files wanted, lower case; with none, only folders.

    Returns:
        At most `MAX_SHOWN`, in order; none where there is no such folder, or it cannot be read.
    """
    if text in ("~", ".", ".."):
        return [f"{text}/"]
    typed, beginning = os.path.split(text)
    typed = typed if not typed or typed.endswith("/") else f"{typed}/"
    folders, files = [], []
    try:
        with os.scandir(Path(typed or ".").expanduser()) as entries:
            for seen, entry in enumerate(entries):
                if seen >= MAX_SEEN:
                    break
                hidden = entry.name.startswith(".") and not beginning.startswith(".")
                if hidden or not entry.name.startswith(beginning):
                    continue
                if _is_folder(entry):
                    folders.append(f"{typed}{entry.name}/")
                elif entry.name.lower().endswith(tuple(suffixes)):
                    files.append(f"{typed}{entry.name}")
    except (OSError, ValueError, RuntimeError):
        return []
    return [*sorted(folders), *sorted(files)][:MAX_SHOWN]


def models_for(text: str, known: Sequence[str], *, folders: bool) -> list[str]:
    """Models that begin with the text: known names, then folders.

    Args:
        text: What has been typed.
        known: Names to offer.
        folders: Whether the engine sees the folders of this machine.
    """
    names = [name for name in known if name.startswith(text)]
    return [*names, *(path for path in (paths_for(text) if folders and text else []) if path not in names)]


def common(options: Sequence[str]) -> str:
    """The longest beginning that all options share."""
    first, last = (min(options), max(options)) if options else ("", "")
    same = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(same, min(len(first), len(last)))]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
