import numpy as np
import pytest

from flowtui.tui.draw.columns import Columns, place_labels, wanted_labels


@pytest.mark.parametrize("count", [1, 2, 7, 12, 32, 80, 200])
def test_every_item_has_cells_inside_and_cells_map_back(count: int) -> None:
    for width in [1, 2, 5, 12, 33, 64, 150]:
        columns = Columns(count, width)
        assert 1 <= columns.used <= width
        for item in range(count):
            assert 0 <= columns.start(item) < columns.end(item) <= columns.used
            if count <= width:
                assert {columns.item(c) for c in range(columns.start(item), columns.end(item))} == {item}
        assert columns.spread(np.arange(count, dtype=float)).shape == (columns.used,)


def test_items_that_share_a_cell_are_averaged_over_the_known_ones() -> None:
    assert Columns(4, 2).spread(np.array([1.0, 3.0, np.nan, 5.0])) == pytest.approx([2.0, 5.0])
    assert np.isnan(Columns(4, 2).spread(np.array([1.0, 3.0, np.nan, np.nan]))[1])


@pytest.mark.parametrize("width", range(1, 40, 3))
def test_labels_never_touch_and_the_first_wins(width: int) -> None:
    columns = Columns(12, width)
    placed = place_labels(columns, [(11, "11"), *((i, str(i)) for i in range(12))], width)
    if width >= 2:
        assert "11" in [text for _, text in placed]
    end = -1
    for cell, text in placed:
        assert cell > end
        end = cell + len(text)
    assert end <= width


def test_numbers_are_round_and_as_dense_as_fits() -> None:
    assert wanted_labels(12, 5, (3, None)) == [(i, str(i)) for i in (3, 0, 11, 1, 2, 4, 5, 6, 7, 8, 9, 10)]
    assert [i for i, _ in wanted_labels(32, 2, (9, 18))] == [
        9,
        18,
        0,
        31,
        2,
        4,
        6,
        8,
        10,
        12,
        14,
        16,
        20,
        22,
        24,
        26,
        28,
        30,
    ]
    assert [i for i, _ in wanted_labels(200, 0.2, (0,))] == [0, 199, 20, 40, 60, 80, 100, 120, 140, 160, 180]
