"""Traits: numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from flowtui.engine.results import LayerResult
from flowtui.engine.sweeps.traits import focus, traits_of


def test_focus() -> None:
    assert focus(np.ones(20)) == pytest.approx(0.1)
    assert focus(np.eye(1, 20)[0]) == 1
    assert focus(np.array([3.0, 1.0])) == 0.75  # a tenth is one token at least
    assert focus(np.zeros(5)) is None
    assert focus(np.zeros(0)) is None


def test_attention_and_cam() -> None:
    share = np.zeros((2, 2, 4), np.float32)
    share[..., 1] = [[0.2, 0.4], [0.6, 0.8]]
    attention = LayerResult("attention", 0, {"share": share, "image_rows": np.float32([[1, 0], [2, 1]])})
    assert traits_of([attention]) == {
        "attention.image_share": [pytest.approx(0.5)],
        "attention.focus": [pytest.approx(0.75)],
    }
    none = LayerResult("attention", 0, {"share": share[:, :0], "image_rows": np.zeros((2, 2), np.float32)})
    assert traits_of([none]) == {"attention.image_share": [None], "attention.focus": [None]}
    cam = LayerResult("cam", 0, {"heat": np.float32([[0, 4, 4, 0]])})
    assert traits_of([cam]) == {"cam.focus": [0.5], "cam.peak": [4.0]}
