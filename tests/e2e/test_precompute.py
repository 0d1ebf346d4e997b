"""What is there is not computed again. An engine that cannot be reached shows whether one was needed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flowtui.engine.demo.examples import Example
from flowtui.engine.spec import ANALYSES
from tests.e2e.terminal import Call

NOWHERE = "ssh://127.0.0.1:1"


@pytest.fixture
def partial(flowtui: Call, example: Example, run_file: Path, tmp_path: Path) -> Path:
    """The same question with three layers of one analysis only, all of them in the cache."""
    path = tmp_path / "partial.pkl"
    some = ("--analysis", "attention", "--layers", "0-2", "--device", "cpu")
    flowtui("run", example.image, example.question, *some, "-o", path)
    return path


def test_a_complete_run_needs_no_engine(flowtui: Call, run_file: Path) -> None:
    before = run_file.read_bytes()
    for _ in range(2):
        done = flowtui("precompute", run_file, "--engine", NOWHERE)
        assert "nothing to compute" in done.stdout
        assert done.stderr == ""
    assert run_file.read_bytes() == before


def test_what_another_run_computed_comes_from_the_cache(flowtui: Call, run_file: Path, partial: Path) -> None:
    done = flowtui("precompute", partial, "--engine", NOWHERE)
    counts = {"attention": 9, "truncation": 13}
    listed = ", ".join(f"{name} ({counts.get(name, 12)})" for name in ANALYSES)
    assert f"nothing computed, from the cache {listed}" in done.stdout
    made, other = (json.loads(flowtui("show", path, "--json").stdout) for path in (partial, run_file))
    for key in ("attention", "cam", "truncation", "cliff"):
        assert made[key] == other[key]


def test_without_the_cache_an_engine_computes_the_rest(
    flowtui: Call, run_file: Path, partial: Path, tmp_path: Path
) -> None:
    own = {"FLOWTUI_CACHE_DIR": str(tmp_path / "cache")}
    copy = tmp_path / "copy.pkl"
    shutil.copy(partial, copy)
    flowtui("precompute", copy, "--engine", NOWHERE, code=6, **own)
    done = flowtui("precompute", partial, copy, "--analysis", "attention,cam", **own)
    assert "computed attention (9), cam (12)" in done.stdout.splitlines()[0]
    assert "nothing computed, from the cache attention (9), cam (12)" in done.stdout.splitlines()[1]
    made, other = (json.loads(flowtui("show", path, "--json").stdout) for path in (copy, run_file))
    # The same program on the same machine; summation order is the only freedom it has.
    assert made["cam"]["peak"] == other["cam"]["peak"]
    assert made["attention"]["share"]["image"] == pytest.approx(other["attention"]["share"]["image"], abs=1e-5)
    assert made["truncation"] is None


def test_force_computes_again(flowtui: Call, run_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pkl"
    shutil.copy(run_file, copy)
    flowtui("precompute", copy, "--force", "--engine", NOWHERE, code=6)
    done = flowtui("precompute", copy, "--force", "--analysis", "attention", "--layers", "4")
    assert "computed attention (1)" in done.stdout


def test_other_parameters_are_another_result(flowtui: Call, run_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pkl"
    shutil.copy(run_file, copy)
    done = flowtui("precompute", copy, "--analysis", "cam", "--set", "cam.site=input")
    assert "computed cam (12)" in done.stdout
    content = json.loads(flowtui("show", copy, "--json").stdout)
    assert content["cam"]["site"] == "input"
    # At this site the last layer has a map.
    assert content["cam"]["peak"][11] is not None
