from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from flowtui.engine.cliff import find_cliff
from flowtui.engine.results import Analysis, LayerResult
from flowtui.errors import UsageError
from tests.factories import random_run


def curve(same: list[bool], kl: list[float], tokens: int = 2) -> Analysis:
    """A truncation analysis; each K's KL is spread unevenly over the tokens, `kl` is its mean."""
    layers = {}
    for k, (agrees, mean) in enumerate(zip(same, kl, strict=True)):
        spread = np.linspace(0, 2, tokens) if tokens > 1 else np.ones(1)
        layers[k] = LayerResult("truncation", k, {"same": np.array(agrees), "kl": (mean * spread).astype(np.float32)})
    return Analysis("truncation", {}, layers)


@pytest.mark.parametrize(
    ("same", "kl", "expected"),
    [
        pytest.param([0, 0, 1, 1], [2, 1, 0.01, 0], 2, id="agrees from 2 on"),
        pytest.param([1, 1, 1, 1], [0.01, 0.01, 0.01, 0], 0, id="the image never mattered"),
        pytest.param([1, 0, 1, 1], [0.01, 0.01, 0.01, 0], 2, id="agreement that breaks again does not count"),
        pytest.param([0, 1, 1, 1], [2, 0.01, 0.3, 0], None, id="a late bump of the KL: only L is left"),
        pytest.param([0, 1, 1, 1], [2, 0.3, 0.01, 0], 2, id="same answer but too far in KL"),
        pytest.param([0, 0, 0, 1], [2, 2, 2, 0], None, id="the untouched model alone is no cliff"),
        pytest.param([0, 0, 0, 0], [2, 2, 2, 0], None, id="nothing agrees"),
        pytest.param([0, 1, 1, 1], [2, 0.05 - 1e-6, 0, 0], 1, id="just under eta"),
        pytest.param([0, 1, 1, 1], [2, 0.05 + 1e-4, 0, 0], 2, id="just above eta"),
        pytest.param([0, 1, 1, 1], [2, float("nan"), 0, 0], 2, id="a value that is not a number never qualifies"),
    ],
)
def test_one_sample_rule(same: list[int], kl: list[float], expected: int | None) -> None:
    cliff = find_cliff(curve([bool(s) for s in same], kl), layers=3)
    assert cliff is not None
    assert cliff.k == expected


def test_mean_over_tokens_decides_not_a_single_token() -> None:
    # Mean 0.04, largest token 0.08: qualifies, because eta bounds the mean.
    cliff = find_cliff(curve([True, True], [0.04, 0.0]), layers=1)
    assert cliff is not None
    assert cliff.k == 0


def test_eta_is_used_and_told() -> None:
    analysis = curve([False, True, True, True], [2, 0.3, 0.01, 0])
    cliff = find_cliff(analysis, layers=3, eta=0.5)
    assert cliff is not None
    assert (cliff.k, cliff.eta) == (1, 0.5)
    assert "0.5 nats" in cliff.rule


@pytest.mark.parametrize("missing", [0, 2, 3])
def test_nothing_is_said_while_rows_are_missing(missing: int) -> None:
    analysis = curve([False, False, True, True], [2, 1, 0.01, 0])
    layers = {k: v for k, v in analysis.layers.items() if k != missing}
    assert find_cliff(Analysis("truncation", {}, layers), layers=3) is None


@pytest.mark.parametrize("cliff", [0, 7, 11, None])
def test_finds_the_cliff_of_a_made_up_run(cliff: int | None) -> None:
    run = random_run(cliff=cliff)
    found = find_cliff(run.analyses["truncation"], run.model.layers)
    assert found is not None
    assert found.k == cliff


@pytest.mark.parametrize("eta", [-0.1, float("nan"), float("inf")])
def test_an_eta_that_cannot_be_meant(eta: float) -> None:
    with pytest.raises(UsageError, match="eta"):
        find_cliff(curve([True, True], [0, 0]), layers=1, eta=eta)


def test_only_truncation_has_a_cliff() -> None:
    with pytest.raises(UsageError, match="attention"):
        find_cliff(Analysis("attention", {}), layers=1)


def test_is_torch_free() -> None:
    code = "import flowtui.engine.cliff, sys; sys.exit(any(m in sys.modules for m in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
