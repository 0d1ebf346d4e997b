"""Run files as the commands read and place them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flowtui.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flowtui.engine.results import Run

T = TypeVar("T")


def read_run(path: Path) -> Run:
    """Reads a run file.

    Raises:
        RunFileError: It cannot be read, is damaged, hostile or not a run.
    """
    from flowtui.cache.runfile import read_plain
    from flowtui.engine.results import Run

    return Run.from_plain(read_plain(path))


def read_image(path: Path) -> bytes:
    """An image file's bytes, decoded once to be sure that it is one, before any model is loaded.

    Raises:
        UsageError: It cannot be read or is not an image.
    """
    from flowtui.engine.images import decode_image

    data = _read_bytes(path, "image", "Images come first, then the question, in quotes.")
    _decode(decode_image, data, path)
    return data


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A mask file's pixels: [height width], True where they are not zero.

    Raises:
        UsageError: It cannot be read or is no mask.
    """
    from flowtui.engine.images import decode_mask

    return _decode(decode_mask, _read_bytes(path, "mask", ""), path)


def _read_bytes(path: Path, what: str, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"There is no {what} {path}.", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"The {what} {path} cannot be read: {reason}.") from error


def _decode(decode: Callable[[bytes], T], data: bytes, path: Path) -> T:
    """Decodes; what is wrong is said with the file's name."""
    try:
        return decode(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None


def full_name(model: str) -> str:
    """A model directory as an absolute path, so that the run file can be completed from any folder."""
    path = Path(model).expanduser()
    return str(path.resolve()) if model != "demo" and path.is_dir() else model


def free_name(image: Path, folder: Path = Path()) -> Path:
    """A run file in the current folder, named after the image, that does not exist yet."""
    stem = image.stem or "run"
    names = (f"{stem}.pkl" if i == 1 else f"{stem}-{i}.pkl" for i in range(1, 10_000))
    return next(folder / name for name in names if not (folder / name).exists())


def check_place(path: Path) -> None:
    """Looks at where the run file goes before the work starts, not after.

    Raises:
        UsageError: Its folder does not exist, or a folder is in its place.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "Give a file with -o.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent} to write to.", "Make it, or give another place with -o.")


def demo_file() -> Path:
    """Where the demo's run file goes: a place that stays, so that what is exported beside it stays too."""
    from platformdirs import user_cache_path

    folder = user_cache_path("flowtui", appauthor=False) / "demo"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder / "demo.pkl"
    except OSError:
        return Path(tempfile.mkdtemp(prefix="flowtui-demo-")) / "demo.pkl"
