"""Import rules: by contract through every chain of imports, and by what a running program has loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowtui.cache.runfile import write_plain
from tests.factories import random_run

ROOT = Path(__file__).parents[2]
MODELS = {"torch", "transformers"}
HEAVY = MODELS | {"ray", "numpy", "PIL", "textual", "rich", "asyncio", "diskcache", "safetensors"}
PROBE = "\nimport sys\nprint('loaded:', *sorted({name.partition('.')[0] for name in sys.modules}))"


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Top-level modules that a program has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code + PROBE, *arguments], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_the_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout


def test_the_probe_sees_what_is_loaded() -> None:
    assert HEAVY & loaded_by("import numpy, asyncio") == {"numpy", "asyncio"}


def test_the_command_loads_nothing_heavy() -> None:
    assert not HEAVY & loaded_by("import flowtui.tui.cli")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["cache", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = f"from flowtui.tui.cli.entry import run\nassert run({arguments!r}) == 0"
    assert not HEAVY & loaded_by(code)


def test_the_explorer_loads_no_model_code() -> None:
    loaded = loaded_by("import flowtui.tui.explorer.app, flowtui.tui.explorer.computing, flowtui.engine.workflow")
    assert "textual" in loaded
    assert not MODELS & loaded


def test_show_and_export_load_neither_models_nor_a_screen(tmp_path: Path) -> None:
    path = tmp_path / "run.pkl"
    write_plain(path, random_run(layers=2).to_plain())
    calls = (["show", str(path)], ["show", str(path), "--json"], ["export", str(path), "-o", str(tmp_path / "out")])
    for arguments in calls:
        code = f"from flowtui.tui.cli.entry import run\nassert run({arguments!r}) == 0"
        assert not (MODELS | {"textual", "pydantic"}) & loaded_by(code)


def test_the_engines_client_loads_no_model_code() -> None:
    assert not MODELS & loaded_by("import flowtui.engine.client, flowtui.engine.cliff, flowtui.engine.place")
