"""Options that several commands share, and the readers of their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowtui.engine.spec import ANALYSES
from flowtui.errors import UsageError

if TYPE_CHECKING:
    from flowtui.engine.spec import AnalysisName

MAX_LAYERS = 10_000

RunFile = Annotated[Path, typer.Argument(metavar="RUN.pkl", help="A run file.", show_default=False)]
Engine = Annotated[
    str, typer.Option("--engine", metavar="local|ssh://HOST", help="Where to compute: here, or on another machine.")
]
Analyses = Annotated[
    str, typer.Option("--analysis", metavar="a,b|all", help=f"Analyses: {', '.join(ANALYSES)}, or all.")
]
Layers = Annotated[
    str | None,
    typer.Option("--layers", metavar="0-31", help="Only these layers (for truncation: values of K), as 0-3,7,12."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A parameter of an analysis, as cam.variant=smooth; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def read_analyses(text: str) -> tuple[AnalysisName, ...]:
    """Reads "all" or names separated by commas.

    Raises:
        UsageError: No such analysis.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in (*ANALYSES, "all")]
    if unknown or not names:
        what = f"There is no analysis {unknown[0]!r}." if unknown else "No analysis is named."
        raise UsageError(what, f"Use all, or some of {', '.join(ANALYSES)}, separated by commas.")
    return tuple(name for name in ANALYSES if name in names or "all" in names)


def read_layers(text: str | None) -> tuple[int, ...] | None:
    """Reads "3", "0-31" or "0-3,7"; None stays None, which means all.

    Raises:
        UsageError: It is not such a list.
    """
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < MAX_LAYERS:
            raise UsageError(f"{text!r} is not a list of layers.", "Give layers like 0-31 or 0-3,7,12; the first is 0.")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def read_settings(items: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reads ANALYSIS.NAME=VALUE items into parameters by analysis, each of its parameter's own type.

    Raises:
        UsageError: Not such an item, no such parameter, or a value that it cannot have.
    """
    from dataclasses import fields

    from flowtui.engine.spec import PARAMETERS, parameters_from_plain

    found: dict[str, dict[str, Any]] = {}
    for item in items:
        match = re.fullmatch(r"(\w+)\.(\w+)=(.*)", item, re.ASCII)
        if not match:
            raise UsageError(
                f"{item!r} is not a parameter.", "Write it as ANALYSIS.NAME=VALUE, like cam.variant=smooth."
            )
        analysis, name, text = match.groups()
        defaults = (
            {field.name: field.default for field in fields(PARAMETERS[analysis])} if analysis in PARAMETERS else {}
        )
        value = _like(defaults.get(name), text)
        parameters_from_plain(analysis, {name: value})
        found.setdefault(analysis, {})[name] = value
    return found


def read_box(text: str) -> tuple[int, int, int, int]:
    """Reads "LEFT,TOP,RIGHT,BOTTOM" in whole pixels.

    Raises:
        UsageError: It is not a box.
    """
    match = re.fullmatch(r"\s*" + r"\s*,\s*".join([r"(\d{1,6})"] * 4) + r"\s*", text, re.ASCII)
    if not match:
        raise UsageError(
            f"{text!r} is not a box.", "Give left, top, right and bottom in whole pixels of the image, like 8,16,40,48."
        )
    left, top, right, bottom = map(int, match.groups())
    return left, top, right, bottom


def read_size(text: str) -> int:
    """Reads "500M", "20G" or plain bytes.

    Raises:
        UsageError: It is not a size.
    """
    match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,3})?)\s*([kmgt]?)(?:i?b)?\s*", text.lower(), re.ASCII)
    if not match:
        raise UsageError(f"{text!r} is not a size.", "Give bytes, or a number with K, M, G or T, like 20G.")
    return int(float(match[1]) * _UNITS[match[2]])


def show_size(count: float) -> str:
    """A number of bytes as a person reads it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _like(default: object, text: str) -> Any:
    """The text as a value of the default's type; as it is where it cannot be, for the check to name."""
    try:
        if isinstance(default, bool):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        return type(default)(text) if isinstance(default, (int, float)) else text
    except (ValueError, KeyError):
        return text
