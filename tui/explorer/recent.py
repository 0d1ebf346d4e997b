"""What was lately opened and used, kept between calls. Failing at it is never an error."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from .memory import read_state, write_state

MAX_RUNS = 40
MAX_MODELS = 20
MAX_CHARS = 4096

_writing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Recent:
    """The latest first.

    Attributes:
        runs: Run files that were opened, as absolute paths.
        models: Models that answered a question asked in the explorer.
    """

    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def recent(state_file: Path | None) -> Recent:
    """Reads it; nothing where there is none, or where it is damaged."""
    if state_file is None:
        return Recent()
    plain = read_state(_file(state_file))
    return Recent(_texts(plain.get("runs"), MAX_RUNS), _texts(plain.get("models"), MAX_MODELS))


def opened_run(state_file: Path | None, path: Path) -> None:
    """Keeps that a run file was opened."""
    if state_file is not None:
        with _writing:
            now = recent(state_file)
            _write(state_file, replace(now, runs=_first(str(path.absolute()), now.runs, MAX_RUNS)))


def used_model(state_file: Path | None, model: str) -> None:
    """Keeps that a model answered."""
    if state_file is not None:
        with _writing:
            now = recent(state_file)
            _write(state_file, replace(now, models=_first(model, now.models, MAX_MODELS)))


def _first(new: str, others: tuple[str, ...], most: int) -> tuple[str, ...]:
    return (new, *(other for other in others if other != new))[:most]


def _texts(value: object, most: int) -> tuple[str, ...]:
    texts = value if isinstance(value, list) else []
    return tuple(t for t in texts if isinstance(t, str) and 0 < len(t) <= MAX_CHARS)[:most]


def _file(state_file: Path) -> Path:
    return state_file.with_name("recent.json")


def _write(state_file: Path, what: Recent) -> None:
    write_state(_file(state_file), json.dumps({"runs": what.runs, "models": what.models}))
