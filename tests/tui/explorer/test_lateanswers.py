import pytest
from textual.events import Key, Paste

from flowtui.tui.explorer.lateanswers import KeysAlone

ANSWERS = "\x1b_Gi=4211;OK\x1b\\\x1b[6;18;9t\x1b[?62;4;22c"


def keys(parser: KeysAlone, *pieces: str) -> list[str]:
    return [event.key for piece in pieces for event in parser.feed(piece) if isinstance(event, Key)]


def test_answers_are_no_keys() -> None:
    assert keys(KeysAlone(), "l" + ANSWERS + "q") == ["l", "q"]
    assert keys(KeysAlone(), ANSWERS) == []


# An escape alone, or the beginning of what may be a key, is not held back: it may be all that comes.
KEYS = ("\x1b", "\x1b[", "\x1b_", "\x1b[6")


@pytest.mark.parametrize("cut", [cut for cut in range(len(ANSWERS)) if not ANSWERS[:cut].endswith(KEYS)])
def test_nor_in_two_pieces(cut: int) -> None:
    assert keys(KeysAlone(), "l" + ANSWERS[:cut], ANSWERS[cut:] + "q") == ["l", "q"]


def test_everything_else_is_read_as_ever() -> None:
    assert keys(KeysAlone(), "\x1b[A", "\x1b[6~", "\x1b[1;2D", "\x1b[6;5~") == [
        "up",
        "pagedown",
        "shift+left",
        "ctrl+pagedown",
    ]
    pasted = list(KeysAlone().feed("\x1b[200~text\x1b[201~"))
    assert [event.text for event in pasted if isinstance(event, Paste)] == ["text"]
