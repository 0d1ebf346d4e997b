"""Why a model could not be loaded, in one sentence: transformers' own messages run over many lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from transformers.utils import is_torchvision_available
from transformers.utils.hub import is_offline_mode

from flowtui.errors import ModelError

from .failures import first_line, is_out_of_memory

log = logging.getLogger(__name__)


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turns what transformers raises inside into one sentence."""
    try:
        yield
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        ImportError,
        AttributeError,
        RuntimeError,
        SafetensorError,
    ) as error:
        if is_out_of_memory(error):
            raise
        raise _explained(name, error) from error


def _explained(name: str, error: Exception) -> ModelError:
    """Says in one sentence why a model did not load; transformers' own messages run over many lines."""
    reason = first_line(error) if str(error).strip() else type(error).__name__
    log.info("loading %s failed", name, exc_info=error)
    text = str(error)
    if "trust_remote_code" in text:
        return ModelError(
            f"{name} brings code of its own.", "If you trust its author, allow it with --trust-remote-code."
        )
    if "torchvision" in text.lower() and not is_torchvision_available():
        return ModelError(
            f"{name} needs torchvision, which is not installed: transformers has no other way to prepare its images.",
            "Install the torchvision that goes with your torch.",
        )
    if isinstance(error, ImportError):
        return ModelError(f"{name} needs a package that is not installed: {reason}")
    if isinstance(error, OSError) and not Path(name).exists():
        return _not_here(name, reason)
    return ModelError(
        f"{name} could not be loaded: {reason}", "It must be a vision-language model in Hugging Face layout."
    )


def _not_here(name: str, reason: str) -> ModelError:
    if is_offline_mode():
        return ModelError(
            f"{name}, or a part of it, is not on this machine, and HF_HUB_OFFLINE says that nothing is fetched.",
            f"Get it where there is a network (HF_HUB_OFFLINE=0 hf download {name}), or give a local directory.",
        )
    if "safetensors" in reason:
        return ModelError(
            f"{name} has no weights that are read without running code: {reason}",
            "Choose a revision with safetensors; if you trust its author, allow others with --trust-remote-code.",
        )
    return ModelError(
        f"{name} is not on this machine and could not be fetched: {reason}",
        "Check the spelling and the network, or give a local directory.",
    )
