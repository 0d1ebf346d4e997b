import numpy as np

from flowtui.tui.draw.braille import draw_line, glyphs


def test_each_dot_has_its_place_in_the_cell() -> None:
    # As Unicode numbers them: 1 2 3 down the left, 4 5 6 down the right, 7 and 8 below.
    for bit, (y, x) in enumerate([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]):
        dots = np.zeros((4, 2), dtype=bool)
        dots[y, x] = True
        assert glyphs(dots) == [chr(0x2800 + (1 << bit))]
    assert glyphs(np.zeros((8, 6), dtype=bool)) == ["   ", "   "]
    assert glyphs(np.ones((4, 4), dtype=bool)) == ["⣿⣿"]


def test_lines_have_no_holes_however_steep() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        dots = np.zeros((40, 60), dtype=bool)
        draw_line(dots, np.array([0.0, 20.0, 59.0]), rng.uniform(0, 39, 3))
        ys, xs = np.nonzero(dots)
        assert set(xs) == set(range(60))
        # Every dot has a neighbour, and from the first all others can be reached.
        seen, todo = set(), [(ys[0], xs[0])]
        there = set(zip(ys.tolist(), xs.tolist(), strict=True))
        while todo:
            y, x = todo.pop()
            if (y, x) in there - seen:
                seen.add((y, x))
                todo += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        assert seen == there


def test_gaps_stay_gaps_and_a_lone_point_shows() -> None:
    dots = np.zeros((8, 10), dtype=bool)
    draw_line(dots, np.arange(5) * 2.0, np.array([4.0, np.nan, 4.0, np.nan, np.nan]))
    assert np.flatnonzero(dots.any(axis=0)).tolist() == [0, 4]


def test_what_lies_outside_is_drawn_at_the_edge() -> None:
    dots = np.zeros((8, 10), dtype=bool)
    draw_line(dots, np.array([0.0, 9.0]), np.array([-50.0, 50.0]))
    assert dots[0, 0]
    assert dots[7, 9]
