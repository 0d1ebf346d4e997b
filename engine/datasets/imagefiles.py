"""The images of a data set as files in a folder: found without opening one, read only when asked for. Torch-free."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from flowtui.errors import UsageError

from .reading import note

MAX_IMAGE_BYTES = 256 << 20
"""No photo is larger; what is would only fill the memory."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImageFiles:
    """Images by their names in a folder."""

    folder: Path

    def read(self, name: str) -> bytes:
        """A file's bytes, not decoded.

        Raises:
            UsageError: It leads out of the folder, is missing, too large or cannot be read.
        """
        path = self.folder / _inside(name)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except FileNotFoundError:
            raise UsageError(f"There is no image {path}.") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
            raise UsageError(f"The image {path} cannot be read: {reason}.") from error
        if len(data) > MAX_IMAGE_BYTES:
            raise UsageError(f"The image {path} is larger than {MAX_IMAGE_BYTES >> 20} MiB.")
        return data


def find_folder(images: Path, within: Sequence[str], names: Sequence[str]) -> ImageFiles:
    """The folder that the images lie in: the one that was given, or one of the usual ones in it.

    Args:
        images: What was given.
        within: Usual folders in it, "" for itself; the first that has one of the first names wins.
        names: Names of images.

    Raises:
        UsageError: It is no folder.
    """
    if not images.is_dir():
        raise UsageError(f"There is no folder {images}.", "Give the folder of the images with --images.")
    for folder in within:
        if any(_is_file(images / folder / _inside(name)) for name in names[:100]):
            return ImageFiles(images / folder)
    return ImageFiles(images)


def with_images(rows: Sequence[T], name_of: Callable[[T], str | None], files: ImageFiles) -> tuple[list[T], list[str]]:
    """The rows whose images are there, and a note about the others; folders are listed once, files never opened.

    Raises:
        UsageError: Not one image is there.
    """
    names = dict.fromkeys(name for name in map(name_of, rows) if name is not None)
    there = _existing(files.folder, list(names))
    missing = [name for name in names if name not in there]
    if not missing:
        return list(rows), []
    if not there:
        raise UsageError(
            f"{files.folder} has none of the {len(names):,} images, like {missing[0]}.",
            "Give the folder of the official images with --images.",
        )
    kept = [row for row in rows if (name := name_of(row)) is None or name in there]
    questions = f"with their {len(rows) - len(kept):,} questions they are left out"
    return kept, [note(len(missing), len(names), f"images are missing from {files.folder}; {questions}", missing)]


def _existing(folder: Path, names: Sequence[str]) -> set[str]:
    """Those of the names that are files; each folder among them is listed once."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        by_folder.setdefault(str(PurePosixPath(_inside(name)).parent), []).append(name)
    found: set[str] = set()
    for parent, members in by_folder.items():
        try:
            with os.scandir(folder / parent) as entries:
                listed = {entry.name for entry in entries if entry.is_file()}
        except (OSError, ValueError):
            continue
        found.update(name for name in members if PurePosixPath(name).name in listed)
    return found


def _is_file(path: Path) -> bool:
    """Whether it is one; names that are too long or no names are not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _inside(name: str) -> str:
    """The name, if it stays in its folder: question files come from anywhere."""
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise UsageError(f"{name!r} is no name of an image in a folder.", "The question file looks tampered with.")
    return name
