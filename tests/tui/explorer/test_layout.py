from itertools import product

from flowtui.tui.draw.ink import DARK
from flowtui.tui.explorer.gridview import lay_out
from flowtui.tui.explorer.header import answer_line
from flowtui.tui.explorer.layout import STATUS_ROWS, plan


def test_every_size_is_shared_out_without_a_rest() -> None:
    for width, height, ratio in product(range(1, 260, 7), range(1, 80, 3), (0.3, 1.0, 3.0)):
        made = plan(width, height, ratio)
        if height >= 8:
            assert made.header + made.scrubber + made.body + STATUS_ROWS == height
        assert made.groups <= made.body
        if width >= 60:
            assert 20 <= made.map_cells <= width - 24


def test_all_tiles_of_a_grid_are_inside() -> None:
    for count, width, height, ratio in product((1, 12, 32, 80), (20, 78, 118, 248), (4, 17, 33, 63), (0.5, 1.0, 2.0)):
        tiles = lay_out(count, width, height, ratio)
        assert tiles.across * tiles.tile[0] <= max(width, tiles.tile[0])
        assert tiles.shown * tiles.tile[1] <= max(height, tiles.tile[1])
        for layer in range(count):
            first = tiles.page(layer)
            assert first <= layer < first + tiles.across * tiles.shown


def test_a_large_enough_screen_shows_every_layer_at_once() -> None:
    for count, size in ((12, (78, 17)), (32, (118, 33)), (80, (248, 63))):
        tiles = lay_out(count, *size, 1.0)
        assert tiles.across * tiles.shown >= count


def test_a_long_answer_shows_the_part_around_the_current_token() -> None:
    tokens = tuple(f"word{i}" for i in range(300))
    for width, current in product((30, 60, 78, 118), (None, 0, 7, 150, 299)):
        text = answer_line(DARK, width, tokens, current, given=False).text
        assert len(text) == width
        assert ("all " if current is None else f"word{current} ") in text
        assert ("token" in text) or width < 40
    assert "␣" in answer_line(DARK, 60, ("a", "\n", " "), 2, given=True).text
    assert "given" in answer_line(DARK, 60, (), None, given=True).text
