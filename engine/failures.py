"""Exceptions that nobody meant, as one sentence each; their tracebacks stay in the engine's log file."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import platformdirs

from flowtui.errors import EngineError, FlowtuiError, OutOfMemoryError
from flowtui.safelog import SafeFormatter, escaped

LOG_LIMIT_BYTES = 4 << 20


def log_path() -> Path:
    """The file that holds what went wrong inside an engine."""
    return platformdirs.user_log_path("flowtui", appauthor=False) / "engine.log"


def explain(error: Exception) -> FlowtuiError:
    """One sentence for an exception that nobody meant."""
    text = first_line(error)
    if is_out_of_memory(error):
        asked = re.search(r"Tried to allocate ([\d.]+ \w+)", str(error))
        free = re.search(r"of which ([\d.]+ \w+) is free", str(error))
        needed = f": {asked[1]} more were needed" if asked else ""
        there = f", {free[1]} were free" if asked and free else ""
        return OutOfMemoryError(
            f"The device is out of memory{needed}{there}.",
            "Use a smaller image, fewer layers at a time or another device.",
        )
    return EngineError(f"The engine failed: {type(error).__name__}: {text}", f"Details are in {log_path()}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine had no memory left."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and re.search("out of memory|can't allocate memory", str(error)) is not None
    )


def lost_device(error: Exception) -> bool:
    """Whether a CUDA error makes every further call in this process fail."""
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    names = {cls.__name__ for cls in type(error).__mro__}
    return (
        "AcceleratorError" in names or re.search(r"(CUDA|HIP|cuBLAS|cuDNN) error|CUBLAS_STATUS", str(error)) is not None
    )


def first_line(error: Exception) -> str:
    """What an exception says, cut to one line; what a terminal would obey in it is escaped."""
    text = str(error).strip()
    line = text.splitlines()[0] if text else "no reason given"
    line = escaped(line)
    return line if len(line) <= 300 else line[:297] + "..."


def open_log() -> None:
    """Sends this process' log to a file; without a place for one it is dropped, stderr is not for tracebacks."""
    handler: logging.Handler = logging.NullHandler()
    try:
        path = log_path()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".old.log"))
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError:
        pass
    handler.setFormatter(SafeFormatter("%(asctime)s %(process)d %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
