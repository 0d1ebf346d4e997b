"""Where a model's files are, and a fingerprint of what they hold. Torch-free."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

from flowtui.errors import ModelError

from .spec import DEMO_MODEL

FULL_HASH_LIMIT_BYTES = 1 << 30
SAMPLE_BYTES = 1 << 20
SAMPLES = 16
MAX_NAME_CHARS = 255
"""Of a model, as a directory too: the system refuses to look for longer ones."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_SMALL = ("*.json", "*.jinja", "*.txt", "*.model", "*.py")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")


def demo_directory() -> Path:
    """The directory of the demo model that ships in the package."""
    return Path(__file__).resolve().parent / "demo" / "weights"


def resolve_model(name: str) -> str:
    """Turns what a user gave into a local directory or a Hugging Face id.

    Args:
        name: "demo", a directory, or an id such as "llava-hf/llava-1.5-7b-hf".

    Returns:
        An absolute directory, or the id as it came.

    Raises:
        ModelError: It is neither; or a directory without a model in it.
    """
    if len(name) > MAX_NAME_CHARS or "\0" in name:
        raise ModelError("A model's name of this kind is none.", "Give a directory, a Hugging Face id or demo.")
    path = demo_directory() if name == DEMO_MODEL else Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"The directory {path} holds no model: it has no config.json.",
                "Give a directory in Hugging Face layout (config.json, processor files, *.safetensors).",
            )
        return str(path.resolve())
    if name == DEMO_MODEL:
        raise ModelError(
            "The demo model's files are missing from this installation.",
            "Install the package again, or train one with: python -m flowtui.engine.demo.train",
        )
    if path.is_file() or name.startswith(("/", ".", "~")) or not _HUB_ID.fullmatch(name):
        raise ModelError(
            f"There is no model directory {name}.",
            "Give a directory in Hugging Face layout, a Hugging Face id or demo.",
        )
    return name


def fingerprint(directory: str | Path) -> str:
    """Hashes the files of a model directory that decide its numbers.

    Configuration, processor and tokenizer files are hashed whole. So are the weights, up to `FULL_HASH_LIMIT_BYTES`
    together: a file in a Hugging Face cache that is stored under its own SHA-256 lends that name, all others are read.
    Larger weights that have no such name are taken by size, safetensors header and `SAMPLES` blocks spread evenly
    over each file, so an edit between the blocks that keeps every size goes unseen.

    Returns:
        32 hexadecimal digits.

    Raises:
        ModelError: A file cannot be read, or there are no weights.
    """
    folder = Path(directory)
    small = sorted({path for pattern in _SMALL for path in folder.glob(pattern)})
    weights = next((found for pattern in _WEIGHTS if (found := sorted(folder.glob(pattern)))), [])
    if not weights:
        raise ModelError(f"The directory {folder} holds no weights.", "It needs *.safetensors files.")
    total = hashlib.sha256()
    try:
        whole = sum(path.stat().st_size for path in weights) <= FULL_HASH_LIMIT_BYTES
        for path in (*small, *weights):
            digest = _stored_digest(path) or (_whole_digest(path) if whole or path in small else _sampled_digest(path))
            total.update(f"{path.name}\0{digest}\0".encode())
    except OSError as error:
        raise ModelError(f"The model's files cannot be read: {error}.") from error
    return total.hexdigest()[:32]


def _stored_digest(path: Path) -> str | None:
    """The SHA-256 a Hugging Face cache keeps a large file under; small files there have a git hash instead."""
    if not path.is_symlink():
        return None
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name) else None


def _whole_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled_digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(struct.pack("<Q", size))
    with path.open("rb") as file:
        if path.suffix == ".safetensors":
            (header,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
            digest.update(file.read(min(header, 64 * SAMPLE_BYTES)))
        for i in range(SAMPLES):
            file.seek(max(0, size - SAMPLE_BYTES) * i // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return "sampled-" + digest.hexdigest()
