"""Where attention matrices of all layers do not fit, the analyses run: in processes of limited address space."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from benchmarks.limited import SHORT, outcome
from benchmarks.scene import Scene, Size, build_scene

# A matrix has 8 heads x 640 x 640 float32: 13 MB. Eight layers and their gradients are 210 MB; a forward pass and one
# chunk of rows, which is all that the engine takes, less than half of the limit.
SIZE = Size(layers=8, grid=24, hidden=64, heads=8, intermediate=128, vocabulary=512)
EXTRA_BYTES = 160 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space hold on Linux")


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with build_scene(SIZE) as built:
        yield built


@pytest.mark.parametrize("analysis", ["attention", "saliency", "truncation"])
def test_runs(scene: Scene, analysis: str) -> None:
    assert outcome(scene, analysis, EXTRA_BYTES) == ""


def test_storing_everything_does_not(scene: Scene) -> None:
    assert outcome(scene, "plain.retain_grad", EXTRA_BYTES).startswith(SHORT)
