"""The table of K: which rows, what stands in them, exact widths."""

from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.ktable import Cut, k_table, small


def cuts(layers: int, cliff: int = 7) -> list[Cut]:
    return [Cut(2 - k / layers if k < cliff else 0.0, -3.0, k >= cliff, f"text {k}") for k in range(layers + 1)]


def test_any_size() -> None:
    for width, height, layers in product([1, 9, 20, 36, 58, 140], [1, 2, 9, 40], [1, 12, 96]):
        for k in {0, layers // 2, layers}:
            made = k_table(DARK, width, height, cuts(layers), k, None)
            assert len(made) == min(height, layers + 2)
            assert {strip.cell_length for strip in made} == {width}


@pytest.mark.parametrize("k", [0, 5, 12])
def test_the_current_row_is_there_and_marked(k: int) -> None:
    for height in (2, 5, 30):
        rows = [strip.text for strip in k_table(DARK, 60, height, cuts(12), k, 7)]
        (marked,) = [row for row in rows if row.startswith("▸")]
        assert f" {k} " in marked
        assert f"text {k}" in marked


def test_rows_say_everything() -> None:
    rows = [strip.text for strip in k_table(DARK, 60, 20, cuts(12), 3, 7)]
    assert rows[0].split() == ["K", "KL", "nats", "log", "p", "greedy", "answer", "(●", "same,", "○", "another)"]
    assert rows[1 + 3].split() == ["▸", "3", "1.750", "−3.00", "○", "text", "3"]
    assert rows[1 + 7].split() == ["◆", "7", "0", "−3.00", "●", "text", "7"]
    assert rows[-1].split() == ["12", "0", "−3.00", "●", "untouched:", "text", "12"]


def test_unknown_empty_and_long_texts() -> None:
    found = [Cut(np.nan, np.nan, None, ""), Cut(0.1, -1, True, ""), Cut(0, -1, True, "long " * 40)]
    rows = [strip.text for strip in k_table(DARK, 40, 4, found, 0, None)]
    assert rows[1].strip("▸ ").split() == ["0", "not", "computed"]
    assert "(no text)" in rows[2]
    assert rows[3].rstrip().endswith("…")


def test_small_numbers_do_not_look_like_zero() -> None:
    texts = [small(value) for value in (0.0, 1e-7, 0.05, 7.8494, 123.456, float("nan"))]
    assert texts == ["0", "<0.001", "0.050", "7.849", "123.5", "·"]
