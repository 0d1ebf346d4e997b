"""`flowtui doctor`: what is there to work with, and why things are as they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .options import Engine, Json, show_size
from .output import write

if TYPE_CHECKING:
    from flowtui.engine.greeting import Hello

PACKAGES = ("numpy", "pillow", "textual", "rich", "typer", "diskcache", "safetensors", "msgpack")


def doctor(engine: Engine = "local", json: Json = False) -> int:
    """Show versions, devices, terminal and cache, and why.

    An engine on another machine is examined step by step: ssh, python, flowtui, torch, GPU, cache.
    """
    from flowtui.errors import EngineError
    from flowtui.tui.table import to_json
    from flowtui.tui.text import visible

    report = {
        "versions": find_versions(),
        "engine": ask_engine(engine) if engine == "local" else diagnose_engine(engine),
        "terminal": describe_terminal(os.environ),
        "cache": describe_cache(),
        "log": describe_log(),
    }
    failed = not report["engine"].get("works", True)
    if json:
        write(to_json(report))
        return EngineError.exit_code if failed else 0
    report["engine"].pop("works", None)
    for title, values in report.items():
        write(f"{title}\n")
        for name, value in values.items():
            for i, line in enumerate(value if isinstance(value, list) else [value]):
                shown = "\n    ".join(map(visible, _in_words(line).split("\n")))
                write(f"  {'' if i else name:<12} {shown}\n")
    return EngineError.exit_code if failed else 0


def find_versions() -> dict[str, str]:
    """Versions here."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from flowtui import __version__

    found = {"flowtui": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def ask_engine(engine: str) -> dict[str, Any]:
    """What the engine says of itself, or why it says nothing."""
    import asyncio

    from flowtui.engine.client import EngineClient
    from flowtui.errors import FlowtuiError

    async def greet() -> Hello:
        async with await EngineClient.start(engine) as client:
            return client.hello

    try:
        hello = asyncio.run(greet())
    except FlowtuiError as error:
        return {"place": engine, "error": str(error)}
    devices = [
        {"name": d.name, "model": d.model, "total_bytes": d.total_bytes, "free_bytes": d.free_bytes}
        for d in hello.devices
    ]
    return {
        "place": engine,
        "torch": hello.torch or "not installed",
        "transformers": hello.transformers or "not installed",
        "devices": devices,
    }


def diagnose_engine(engine: str) -> dict[str, Any]:
    """What each step finds on the way to an engine on another machine; the first that fails is the last."""
    import asyncio

    from flowtui.engine.diagnosis import Finding, diagnose

    async def steps() -> list[Finding]:
        return [finding async for finding in diagnose(engine)]

    report: dict[str, Any] = {"place": engine}
    findings = asyncio.run(steps())
    for finding in findings:
        words = [finding.found, *([finding.advice] if finding.advice else [])]
        report[finding.step] = finding.found if finding.ok else [f"FAILED: {words[0]}", *words[1:]]
    return {**report, "works": all(finding.ok for finding in findings)}


def describe_terminal(environ: Mapping[str, str]) -> dict[str, Any]:
    """The graphics that the explorer would take here, and why."""
    from flowtui.errors import UsageError
    from flowtui.tui.config import load_config
    from flowtui.tui.draw.graphics import choose
    from flowtui.tui.draw.probe import Question, from_environment

    cell_px = None
    try:
        config = load_config(environ=environ)
        asked, source = config.graphics, config.sources["graphics"]
        with Question(put=from_environment(asked, source, environ) is None) as question:
            choice = choose(asked, source, environ, question.answers)
        name, why, cell_px = choice.name, choice.why, choice.cell_px
    except UsageError as error:
        name, why = "none", str(error)
    report: dict[str, Any] = {"graphics": name, "why": why}
    report["cell"] = f"{cell_px[0]} x {cell_px[1]} pixels" if cell_px else "of unknown size"
    for variable in ("TERM", "COLORTERM", "TERM_PROGRAM", "TMUX", "STY", "NO_COLOR", "FLOWTUI_GRAPHICS"):
        report[variable] = environ.get(variable, "(not set)")
    try:
        columns, lines = os.get_terminal_size(sys.__stdout__.fileno()) if sys.__stdout__ else (0, 0)
        report["size"] = f"{columns} x {lines} cells"
    except (OSError, ValueError):
        report["size"] = "stdout is not a terminal"
    return report


def describe_cache() -> dict[str, Any]:
    """Where the cache is, and why, or why there is none."""
    from flowtui.cache.store import LayerCache
    from flowtui.errors import CacheError

    try:
        with LayerCache.open() as store:
            found = store.info()
    except CacheError as error:
        return {"error": str(error)}
    return {
        "folder": str(found.folder),
        "why": found.reason,
        "layers": found.entries,
        "size": f"{show_size(found.bytes)} of {show_size(found.limit_bytes)}",
    }


def describe_log() -> dict[str, str]:
    """Where the log files are."""
    from flowtui.engine.failures import log_path as engine_log_path
    from flowtui.tui.logs import log_path

    return {"here": str(log_path()), "engine": str(engine_log_path())}


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        name = value["name"] + (f" ({value['model']})" if value["model"] else "")
        return f"{name}: {show_size(value['free_bytes'])} of {show_size(value['total_bytes'])} free"
    return str(value)
