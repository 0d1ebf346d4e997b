"""Lens table and word grid over many shapes."""

from itertools import product

import numpy as np
import pytest

from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.lenstable import Said, lens_lines, place_of, plan_table
from flowtui.tui.draw.wordgrid import grid_lines, plan_grid


@pytest.mark.parametrize(("layers", "tokens", "width"), list(product([1, 12, 96], [1, 3, 64], [8, 34, 60, 120])))
def test_table_of_any_shape(layers: int, tokens: int, width: int) -> None:
    for rows in (1, 8, 27, 50):
        table = plan_table(layers, tokens, width, rows)
        for layer, token in product({0, layers // 2, layers - 1}, {None, 0, tokens - 1}):
            asked = []

            def said(at: int, t: int, asked: list[tuple[int, int]] = asked) -> Said:
                asked.append((at, t))
                return Said((("日本語" * 9, 1.0, True), ("b", 0.0, False)), at)

            made = lens_lines(DARK, width, table, ["red"] * tokens, said, layer, token, 3)
            assert {strip.cell_length for strip in made} == {width}
            assert len(made) <= max(rows, 1) + 1
            assert layer in {at for at, _ in asked}
            assert token is None or token in {t for _, t in asked}


def test_a_cell_says_word_level_and_place() -> None:
    table = plan_table(2, 2, 30, 2)
    cells = {
        (0, 0): Said((("blue", 0.5, False),), 3),
        (0, 1): Said((("red", 1.0, True),), 0),
        (1, 0): Said((), -1),
        (1, 1): Said((("a long word indeed", 0.0, False),), 1500),
    }
    made = lens_lines(DARK, 30, table, ["one", "two"], lambda *at: cells[at], 0, 1, 1)
    assert [strip.text.rstrip() for strip in made] == [
        "layer  one         two",
        "   0  ▄blue    #4 ▸red",
        "   1◆  ·           a lon… #1k",
    ]
    names = {s.text.strip(): s.style for s in made[0]}
    assert names["two"] == DARK.mark
    assert names["one"] == DARK.strong


def test_room_to_spare_shows_the_next_words_too() -> None:
    table = plan_table(2, 1, 30, 6)
    assert table.per == 3
    said = Said((("blue", 0.5, False), ("red", 0.3, True)), 1)
    made = [s.text.rstrip() for s in lens_lines(DARK, 30, table, ["red"], lambda *_: said, 0, None, None)]
    assert made[1:4] == ["   0  ▄blue          #2", "      ▂red", ""]


def test_places() -> None:
    assert [place_of(rank) for rank in (0, 3, 998, 999, 31_999, 200_000)] == ["#1", "#4", "#999", "#1k", "#32k", "#99k"]


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (12, 12), (24, 24), (3, 64), (64, 3)])
def test_grid_of_any_shape(rows: int, cols: int) -> None:
    n = rows * cols
    words, probs = ["日本語"] * n, np.linspace(0, 1, n)
    for width, height in product([1, 7, 30, 90], [1, 9, 40]):
        grid = plan_grid(rows, cols, width, height)
        for place in (None, (0, 0), (rows - 1, cols - 1)):
            made = grid_lines(DARK, width, grid, words, probs, np.zeros(n, dtype=bool), place)
            assert {strip.cell_length for strip in made} == {width}
            assert len(made) == grid.shown[0] * grid.high <= max(height, 1)
            marked = sum(any(s.style == DARK.mark for s in strip) for strip in made)
            assert marked == (0 if place is None else grid.high)


def test_words_are_cut_to_their_cells_with_the_probability_beside() -> None:
    words, probs = ["yellow", "a", "cyan", "red"], np.array([1.0, 0.5, 0.0, 0.97])
    flags = np.array([False, False, False, True])

    def drawn(width: int, height: int, place: tuple[int, int] | None = None) -> list[str]:
        grid = plan_grid(2, 2, width, height)
        return [s.text for s in grid_lines(DARK, width, grid, words, probs, flags, place)]

    assert drawn(10, 2) == ["yell█a   ▄", "cyan red █"]
    assert drawn(10, 2, (1, 0)) == ["yell█a   ▄", "[cya]red █"]
    assert drawn(4, 2) == ["y█a▄", "c r█"]
    assert drawn(2, 2) == ["ya", "cr"]
    assert drawn(14, 4) == ["yellow a      ", "100 %  50 %   ", "cyan   red    ", "0 %    97 %   "]
    grid = plan_grid(2, 2, 10, 2)
    (_, last) = grid_lines(DARK, 10, grid, words, probs, flags, None)
    red = next(s for s in last if s.text.startswith("red"))
    assert red.style.bgcolor.triplet.green > red.style.bgcolor.triplet.red
