from itertools import product

import pytest
from rich.cells import cell_len

from flowtui.tui.draw.cells import beside, clip, fit, heading, line, wrap
from flowtui.tui.draw.ink import DARK

TEXTS = ["", "a", "two words", "日本語の質問", "mixed 日本 and latin", "emoji 👩‍🔬 here", "e\u0301 accent", "x" * 50]


@pytest.mark.parametrize("text", TEXTS)
def test_clip_never_exceeds_the_width_and_marks_what_it_cut(text: str) -> None:
    for width in range(0, 30, 3):
        cut = clip(text, width)
        assert cell_len(cut) <= width
        assert cut == text or (cut.endswith("…") if width else cut == "")


@pytest.mark.parametrize("text", TEXTS)
def test_lines_are_exactly_as_wide_as_asked(text: str) -> None:
    for width, right in product(range(0, 30, 3), [(), ("note",), ("a longer note", "short")]):
        made = line(DARK, width, (text, DARK.text), ("tail", DARK.dim), right=[(r, DARK.dim) for r in right], fill="─")
        assert sum(cell_len(segment.text) for segment in made) == width == made.cell_length
        made = heading(DARK, width, text, "detail", right)
        assert sum(cell_len(segment.text) for segment in made) == width
        assert beside(DARK, width + 5, made, 2).cell_length == width + 5


def test_a_heading_drops_its_detail_before_its_note_and_shortens_the_note_last() -> None:
    assert heading(DARK, 40, "Title", "detail", ("note here", "note")).text.endswith("note here")
    assert "detail" in heading(DARK, 20, "Title", "detail", ("note here", "note")).text
    assert heading(DARK, 15, "Title", "detail", ("note here", "note")).text.split()[-2:] == ["note", "here"]
    assert heading(DARK, 10, "Title", "detail", ("note here", "note")).text == "Title note"


def test_wrap_breaks_at_spaces_and_marks_a_cut() -> None:
    assert wrap("one two three", 7, 3) == ["one two", "three"]
    assert wrap("one two three", 7, 1) == ["one tw…"]
    assert wrap("abcdefghij", 4, 5) == ["abcd", "efgh", "ij"]
    assert wrap("", 4, 2) == []


@pytest.mark.parametrize("text", TEXTS)
def test_wrapped_lines_fit_and_lose_no_letter(text: str) -> None:
    for width in range(1, 20, 2):
        lines = wrap(text, width, 100)
        assert all(cell_len(part) <= width for part in lines)
        # A wide character has no place in one cell.
        if width > 1 and "emoji" not in text:
            assert "".join("".join(lines).split()) == "".join(text.split())


def test_fit_gives_the_asked_number_of_lines() -> None:
    one = line(DARK, 5, ("a", DARK.text))
    assert [s.text for s in fit([one], DARK, 5, 2)] == ["a    ", "     "]
    assert len(fit([one] * 4, DARK, 5, 2)) == 2


def test_an_ellipsis_of_ones_own_cuts_nothing_off() -> None:
    assert line(DARK, 20, ("wait…", DARK.text), (" and see", DARK.text)).text == "wait… and see       "
