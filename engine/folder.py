"""What a model's folder may hold: files of its own, and weights that are read without running anything. Torch-free.

A folder may come from anyone. Its configuration and its chat template end up in prompts, and so in run files that are
passed on; a link in their place would take a file of the user's along.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from flowtui.errors import ModelError

MAX_FILE_BYTES = 256 << 20
"""Of everything but weights; the largest tokenizers take a tenth."""
MAX_FILES = 10_000

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx", ".ckpt")
_PICKLED = ("pytorch_model*.bin", "adapter_model.bin", "*.pt", "*.pth", "*.ckpt")


def check_folder(folder: Path, *, trust_remote_code: bool = False) -> None:
    """Looks at a folder before anything in it is read.

    Args:
        folder: A model's directory.
        trust_remote_code: Whether code that comes with the model may run; pickled weights are such code.

    Raises:
        ModelError: As `check_links`; or weights are pickled.
    """
    check_links(folder)
    if not trust_remote_code:
        _check_pickled(folder)


def check_links(folder: Path) -> None:
    """Looks at where the files of a folder lead, and at their sizes.

    Args:
        folder: A model's directory, or the snapshot of one in a Hugging Face cache.

    Raises:
        ModelError: A file leads out of it or is too large, or an index names weights elsewhere.
    """
    own = _own_places(folder)
    for path in _files(folder):
        # Weights may lie elsewhere: what is no safetensors file is refused, and its numbers are shown to nobody.
        if path.is_symlink() and path.suffix != ".safetensors" and not _is_within(path, own):
            raise ModelError(
                f"{path} is a link that leads out of the model's folder.", "Put a copy of the file in its place."
            )
        if path.suffix not in _WEIGHTS and path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{path} is larger than any file of its kind.", "Get the files again.")
    for index in folder.glob("*.index.json"):
        _check_index(index)


def _own_places(folder: Path) -> tuple[Path, ...]:
    """The folder, and the one in which a Hugging Face cache keeps the files of its snapshots."""
    real = folder.resolve()
    return (real, real.parent.parent / "blobs") if real.parent.name == "snapshots" else (real,)


def _files(folder: Path) -> Iterator[Path]:
    for count, path in enumerate(path for pattern in ("*", "*/*") for path in folder.glob(pattern)):
        if count >= MAX_FILES:
            raise ModelError(f"{folder} holds more than {MAX_FILES} files.", "Give the folder of the model alone.")
        yield path


def _is_within(path: Path, places: tuple[Path, ...]) -> bool:
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        return False
    return any(real.is_relative_to(place) for place in places)


def _check_index(index: Path) -> None:
    try:
        names = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelError(f"{index} does not say which file each weight is in.", "Get the file again.") from None
    for name in names:
        if type(name) is not str or Path(name).name != name or name in ("", ".", ".."):
            raise ModelError(f"{index} names weights in another folder.", "Get the file again.")


def _check_pickled(folder: Path) -> None:
    for kind in ("adapter_model", "model"):
        pickled = [path for pattern in _PICKLED for path in folder.glob(pattern)]
        pickled = [path for path in pickled if path.name.startswith("adapter_model") == (kind == "adapter_model")]
        if pickled and not any(folder.glob(f"{kind}*.safetensors")):
            raise ModelError(
                f"The weights in {folder} are pickled ({pickled[0].name}): reading them may run code.",
                "Get them as safetensors; if you trust their author, allow it with --trust-remote-code.",
            )
