import numpy as np
import pytest

from flowtui.tui.draw.spark import bar, spark


def test_one_line_in_eighths() -> None:
    assert spark(np.arange(9) / 8, 1.0) == [" ▁▂▃▄▅▆▇█"]


def test_two_lines_fill_from_below() -> None:
    assert spark(np.array([0.25, 0.5, 0.75, 1.0]), 1.0, 2) == ["  ▄█", "▄███"]


def test_missing_is_a_dot_and_small_is_not_nothing() -> None:
    assert spark(np.array([np.nan, 1e-9, 0.0]), 1.0) == ["·▁ "]
    assert spark(np.array([np.nan, 0.0]), 0.0, 2) == ["  ", "· "]


@pytest.mark.parametrize("width", [0, 1, 5, 30])
def test_bars_keep_their_width(width: int) -> None:
    for value in [0.0, 1e-6, 0.3, 1.0, 4.0, float("nan")]:
        assert len(bar(value, width)) == width


def test_a_bar_is_exact_to_an_eighth_of_a_cell() -> None:
    assert bar(0.5, 5) == "██▌  "
    assert bar(1e-6, 5) == "▏    "
    assert bar(0.0, 5) == "     "
