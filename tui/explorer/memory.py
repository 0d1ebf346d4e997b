"""Remembers, per run or sweep, where the explorer was left. Failing at it is never an error."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowtui.engine.results import Run

from .look import Limits, Look, look_from_plain
from .sweeplook import SweepLook, sweep_look_from_plain

if TYPE_CHECKING:
    from flowtui.engine.sweeps.result import Sweep

MAX_RUNS = 200
MAX_BYTES = 1 << 20

log = logging.getLogger(__name__)


def state_file() -> Path:
    """Where the views of the last runs are kept."""
    from platformdirs import user_state_path

    return user_state_path("flowtui") / "explorer.json"


def run_key(run: Run) -> str:
    """The same for the same question to the same model, wherever the file lies."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(run.model.fingerprint.encode("utf-8", "backslashreplace"))
    digest.update(run.tokens.ids.tobytes())
    for image in run.spec.images:
        digest.update(hashlib.blake2b(image).digest())
    return digest.hexdigest()


def recall(path: Path | None, run: Run, default: Look | None = None) -> Look:
    """The look the run was left with, or the default one."""
    views = read_state(path) if path is not None else {}
    return look_from_plain(views.get(run_key(run)), limits_of(run), default)


def sweep_key(sweep: Sweep) -> str:
    """The same for the same questions to the same model with the same options, wherever the file lies."""
    parts = (sweep.model.fingerprint, sweep.dataset, sweep.digest, json.dumps(dict(sweep.options), default=str))
    return "sweep " + hashlib.blake2b("\n".join(parts).encode("utf-8", "backslashreplace"), digest_size=12).hexdigest()


def read_sweep_look(path: Path | None, sweep: Sweep) -> SweepLook:
    """The look the sweep was left with, or the default one."""
    views = read_state(path) if path is not None else {}
    counts = (sweep.layers, len(sweep.metrics), len(sweep.curves), len(sweep.items))
    return sweep_look_from_plain(views.get(sweep_key(sweep)), *counts)


def remember_sweep(path: Path | None, sweep: Sweep, look: SweepLook) -> None:
    """Keeps the look for the next time."""
    _keep(path, sweep_key(sweep), look.to_plain())


def limits_of(run: Run) -> Limits:
    """What a look at a run may name."""
    return Limits(
        run.model.layers, len(run.answer.tokens), run.model.heads, len(run.tokens.image_positions), len(run.tokens.ids)
    )


def remember(path: Path | None, run: Run, look: Look) -> None:
    """Keeps the look for the next time."""
    _keep(path, run_key(run), look.to_plain())


def _keep(path: Path | None, key: str, plain: dict[str, Any]) -> None:
    """Keeps a look; the oldest make room."""
    if path is None:
        return
    views = read_state(path)
    views.pop(key, None)
    views[key] = plain
    kept = dict(list(views.items())[-MAX_RUNS:])
    write_state(path, json.dumps(kept))


def write_state(path: Path, text: str) -> None:
    """Replaces a file of the explorer's own, or leaves it as it was."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        log.info("%s is not written: %s", path, error)
        with suppress(OSError):
            temporary.unlink()


def read_state(path: Path) -> dict[str, Any]:
    """A file of the explorer's own; nothing where there is none, or where it is damaged."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        log.info("%s is not read: %s", path, error)
        return {}
    return plain if isinstance(plain, dict) else {}
