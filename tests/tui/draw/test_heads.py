"""The matrix of heads over many shapes: exact widths, every head reachable, marks where they belong."""

from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.columns import Columns
from flowtui.tui.draw.heads import LABEL_CELLS, heads_matrix, plan_heads
from flowtui.tui.draw.heatmatrix import mark, matrix_lines
from flowtui.tui.draw.ink import DARK, LIGHT
from flowtui.tui.draw.ranking import curve_line, ranking


@pytest.mark.parametrize(("rows", "columns"), list(product([1, 5, 64], [1, 12, 96])))
def test_matrix_lines_have_the_width_of_their_columns(rows: int, columns: int) -> None:
    for width, plain, halves in product([1, 17, 60], [False, True], [False, True]):
        if plain and halves:
            continue
        for values in (np.zeros((rows, columns)), np.ones((rows, columns)), np.full((rows, columns), np.nan)):
            cells = Columns(columns, width)
            made = matrix_lines(LIGHT, values, cells, plain=plain, halves=halves)
            assert len(made) == (-(-rows // 2) if halves else rows)
            assert {strip.cell_length for strip in made} == {cells.used}


def test_what_is_missing_is_a_dot_and_not_a_colour() -> None:
    values = np.array([[0.0, np.nan, 1.0]])
    (coloured,) = matrix_lines(DARK, values, Columns(3, 6))
    assert coloured.text == "  ··  "
    zero, _, one = (segment.style.bgcolor.triplet for segment in coloured if segment.style is not None)
    assert sum(zero) < 10 < 600 < sum(one)
    (plain,) = matrix_lines(DARK, values, Columns(3, 6), plain=True)
    assert plain.text == "  ··@@"


def test_two_rows_share_a_line_in_halves() -> None:
    values = np.array([[0.0], [1.0], [0.5]])
    pair, last = matrix_lines(DARK, values, Columns(1, 2), halves=True)
    assert pair.text == last.text == "▀▀"
    (segment,) = pair
    assert sum(segment.style.color.triplet) < 10
    assert sum(segment.style.bgcolor.triplet) > 600
    (segment,) = last
    assert segment.style.bgcolor.triplet == DARK.background


def test_a_tiny_value_does_not_look_like_zero() -> None:
    zero, tiny = (matrix_lines(DARK, np.array([[v]]), Columns(1, 1))[0] for v in (0.0, 1e-6))
    assert zero != tiny


def test_a_mark_reads_without_colour() -> None:
    (strip,) = matrix_lines(DARK, np.array([[0.2, 1.0, 0.2]]), Columns(3, 9), plain=True)
    assert mark(DARK, strip, 3, 6).text == ":::[@]:::"
    assert mark(DARK, strip, 3, 5).text == ":::[]@:::"
    assert mark(DARK, strip, 3, 4).text == ":::○@@:::"


@pytest.mark.parametrize(("heads", "rows"), list(product([1, 4, 12, 32, 64, 128], [2, 5, 13, 26, 50])))
def test_every_head_can_be_chosen_and_is_named(heads: int, rows: int) -> None:
    for plain, width in product([False, True], [20, 60]):
        columns = Columns(12, width - LABEL_CELLS)
        lines = plan_heads(heads, rows, columns.step, plain=plain)
        table = np.random.default_rng(0).uniform(0, 1, (heads + 1, 12))
        drawn = matrix_lines(DARK, table[:1], columns, plain=plain)
        drawn += matrix_lines(DARK, table[1:], columns, plain=plain, halves=lines.halves)
        for head in {None, 0, heads // 2, heads - 1}:
            made = heads_matrix(DARK, width, lines, columns, drawn, 5, head, None)
            assert len(made) <= rows + 1
            assert {strip.cell_length for strip in made} == {width}
            names = [strip.text[:LABEL_CELLS].strip() for strip in made[:-1]]
            assert names[0] == "mean"
            assert head is None or str(head) in names
            marked = [any(s.style == DARK.mark for s in strip if s.text.strip() in ("○", "[]")) or "[" in strip.text
                      for strip in made[:-1]]  # fmt: skip
            assert sum(marked) == lines.high
            row = marked.index(True)
            there, found = lines.head(row, head)
            assert there
            assert found is None if head is None else found in range(head - 1, head + 1)


def test_the_axis_marks_layer_and_cliff() -> None:
    columns = Columns(12, 36)
    lines = plan_heads(2, 8, columns.step, plain=False)
    drawn = matrix_lines(DARK, np.zeros((3, 12)), columns)
    axis = heads_matrix(DARK, 42, lines, columns, drawn, 3, None, 7)[-1]
    tones = {segment.text: segment.style for segment in axis}
    assert tones["3"] == DARK.mark
    assert tones["7"] == DARK.cliff
    assert axis.text.startswith("layer 0")


def test_ranking_keeps_its_columns() -> None:
    entries = [(0, "layer 5 head 3", "71.0 %", 1.0), (999, "layer 11 head 31", "1.0 %", 0.01)]
    for width in (12, 30, 60):
        made = ranking(DARK, width, entries, 999)
        assert {strip.cell_length for strip in made} == {width}
    first, last = ranking(DARK, 60, entries, 999)
    assert first.text.startswith("   1 layer 5 head 3   71.0 % █")
    assert last.text.startswith("1000 layer 11 head 31  1.0 % ")
    assert [s.text.strip() for s in last if s.style == DARK.mark] == ["layer 11 head 31"]
    assert ranking(DARK, 30, [], None) == []


def test_curve_line_says_its_largest_value() -> None:
    values = np.array([0.1, np.nan, 0.4])
    made = curve_line(DARK, 40, [("word ", DARK.text)], values, 2, 1)
    assert made.cell_length == 40
    assert "≤ 40.0 %" in made.text
    assert made.text.startswith("word ▂")
    assert "·" in made.text
    assert "≤ 0.0 %" in curve_line(DARK, 40, [], np.full(3, np.nan), 0).text
