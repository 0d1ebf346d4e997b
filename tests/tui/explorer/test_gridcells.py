import numpy as np

from flowtui.engine.sequence import Span, Tokens
from flowtui.tui.explorer.gridcells import Cell, GridCells


def tokens(*spans: Span) -> Tokens:
    end = max(span.end for span in spans)
    group = np.zeros(end + 2, dtype=np.uint8)
    for span in spans:
        group[span.start : span.end] = 1
    group[-1] = 3
    return Tokens(np.arange(len(group)), ("x",) * len(group), group, spans, len(group) - 1)


def at(cells: GridCells, grid: int, row: int, col: int) -> int:
    return cells.token(Cell(grid, row, col))


WHOLE = Span(0, 2, 8, 2, 3, 3, (0, 0, 300, 200))


def test_inside_a_grid_steps_go_by_rows_and_columns() -> None:
    cells = GridCells(tokens(WHOLE))
    assert len(cells) == 6
    assert cells.cell(4) == Cell(0, 1, 1)
    assert cells.beside(4, -1, 0) == 1
    assert cells.beside(4, 0, 1) == 5
    assert cells.beside(4, 0, -1) == 3
    # At the edge of the only grid nothing lies beyond, however far one goes.
    assert cells.beside(5, 0, 1) == 5
    assert cells.beside(0, -10, 0) == 0
    assert cells.beside(0, 10, 0) == 3


def test_row_separators_are_no_cells() -> None:
    cells = GridCells(tokens(Span(0, 2, 10, 2, 3, 4, (0, 0, 300, 200))))
    assert len(cells) == 6
    assert cells.cell(3) is None
    assert cells.beside(3, 0, 1) == 3
    assert cells.beside(2, 0, 1) == 2
    assert cells.beside(1, 1, 0) == 5


def test_tiles_are_crossed_where_they_touch() -> None:
    # The whole image first, then four tiles of it, two by two.
    spans = [Span(0, 0, 4, 2, 2, 2, (0, 0, 200, 200))]
    for i, (x, y) in enumerate([(0, 0), (100, 0), (0, 100), (100, 100)], 1):
        spans.append(Span(0, 4 * i, 4 * i + 4, 2, 2, 2, (x, y, x + 100, y + 100)))
    cells = GridCells(tokens(*spans))
    assert cells.beside(at(cells, 1, 1, 1), 0, 1) == at(cells, 2, 1, 0)
    assert cells.beside(at(cells, 1, 1, 1), 1, 0) == at(cells, 3, 0, 1)
    assert cells.beside(at(cells, 4, 0, 0), -1, 0) == at(cells, 2, 1, 0)
    assert cells.beside(at(cells, 4, 0, 0), 0, -1) == at(cells, 3, 0, 1)
    # From the image's edge on to the next grid, and back; every grid can be reached.
    assert cells.beside(at(cells, 0, 0, 1), 0, 1) == at(cells, 1, 1, 0)
    assert cells.beside(at(cells, 1, 0, 0), 0, -1) == at(cells, 0, 0, 1)
    assert cells.beside(at(cells, 4, 1, 1), 1, 0) == at(cells, 4, 1, 1)


def test_images_of_other_shapes_are_entered_at_the_same_height() -> None:
    cells = GridCells(tokens(Span(0, 0, 8, 4, 2, 2, (0, 0, 50, 100)), Span(1, 9, 11, 2, 1, 1, (0, 0, 50, 100))))
    assert cells.beside(at(cells, 0, 3, 1), 0, 1) == at(cells, 1, 1, 0)
    assert cells.beside(at(cells, 0, 0, 1), 0, 1) == at(cells, 1, 0, 0)
    assert cells.beside(at(cells, 1, 1, 0), 0, -1) == at(cells, 0, 3, 1)


def test_grids_without_cells_are_passed_over() -> None:
    spans = (
        Span(0, 0, 2, 1, 2, 2, (0, 0, 9, 9)),
        Span(1, 2, 4, 0, 0, 0, (0, 0, 9, 9)),
        Span(2, 4, 6, 1, 2, 2, (0, 0, 9, 9)),
    )
    cells = GridCells(tokens(*spans))
    assert cells.beside(at(cells, 0, 0, 1), 0, 1) == at(cells, 2, 0, 0)
    assert cells.beside(at(cells, 2, 0, 0), -1, 0) == at(cells, 0, 0, 0)
