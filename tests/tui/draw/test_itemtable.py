import pytest

from flowtui.tui.draw.ink import DARK
from flowtui.tui.draw.itemtable import Row, item_table

ROWS = [
    Row(-1, False, "No", "Yes", "yes", "Is there a circle?"),
    Row(1, False, "circle", "square", "circle", "What shape is it? " * 9),
    Row(0, False, "a cirle", "a circle", "circle", "画像の中央に何が見えますか？" * 3),
    Row(0, True, "(no text)", "(no text)", "", ""),
    Row(None, True, "B", "B", "A · red", "Which one?"),
]


@pytest.mark.parametrize("width", [1, 4, 12, 38, 58, 78, 200])
def test_every_line_is_as_wide_as_it_is_told(width: int) -> None:
    for current in range(len(ROWS)):
        made = item_table(DARK, width, ROWS, "at K 7", current)
        assert len(made) == len(ROWS) + 1
        assert {strip.cell_length for strip in made} == {width}
    assert len(item_table(DARK, width, [], "at K 7", 0)) == 1


def test_glyphs_and_the_cursor_need_no_colour() -> None:
    made = [strip.text for strip in item_table(DARK, 78, ROWS, "at K 7", 1)]
    assert [text[:2] for text in made[1:]] == [" −", "▸+", " ≠", " =", " ·"]
    assert made[0].split() == ["at", "K", "7", "untouched", "truth", "question"]


def test_columns_stand_below_their_names() -> None:
    for width in (38, 58, 120):
        made = [strip.text for strip in item_table(DARK, width, ROWS[:1], "at K 7", 0)]
        assert made[1].index("No") == made[0].index("at K 7")
        assert made[1].index("Yes") == made[0].index("untouched")
        assert made[1].index("yes") == made[0].index("truth")
    assert "question" not in item_table(DARK, 38, ROWS, "at K 7", 0)[0].text


def test_long_answers_leave_room_for_the_question() -> None:
    long = Row(-1, False, "a red circle left of a green letter " * 3, "b" * 90, "c" * 90, "What is it?")
    made = item_table(DARK, 100, [long], "at K 7", 0)[1].text
    assert "What is it?" in made
    assert made.count("…") == 3
