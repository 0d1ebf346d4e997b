import os
import termios
import threading
import time
from collections.abc import Iterator

import pytest

from flowtui.tui.draw.probe import ANSWER_S, QUESTION, Answers, Question, from_answers, from_environment, parse

KITTY, CELL, ATTRIBUTES = b"\x1b_Gi=4211;OK\x1b\\", b"\x1b[6;18;9t", b"\x1b[?62;4;22c"


@pytest.mark.parametrize(
    ("environ", "name", "why"),
    [
        ({"NO_COLOR": "", "TERM": "xterm-kitty"}, "ascii", "NO_COLOR"),
        ({"TERM": "linux"}, "ascii", "TERM=linux"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux"}, "halfblock", "tmux"),
        ({"TERM": "tmux-256color"}, "halfblock", "tmux"),
        ({"TERM": "screen.xterm-256color"}, "halfblock", "GNU screen"),
        ({"TERM": "xterm-256color", "STY": "1.tty"}, "halfblock", "GNU screen"),
        ({"TERM": "foot", "ZELLIJ": "0"}, "halfblock", "Zellij"),
        ({"TERM": "xterm-kitty"}, "kitty", "TERM=xterm-kitty"),
        ({"TERM": "foot"}, "sixel", "TERM=foot"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "sixel", "WezTerm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty", "ghostty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "halfblock", "Apple_Terminal"),
    ],
)
def test_the_environment_decides_where_it_can(environ: dict[str, str], name: str, why: str) -> None:
    choice = from_environment("auto", "it", environ)
    assert choice is not None
    assert choice.name == name
    assert why in choice.why


def test_the_environment_leaves_the_rest_open_and_wishes_come_first() -> None:
    assert from_environment("auto", "it", {"TERM": "xterm-256color", "TMUX": ""}) is None
    asked = from_environment("sixel", "--graphics", {"TMUX": "x", "NO_COLOR": "1"})
    assert asked is not None
    assert (asked.name, asked.why) == ("sixel", "--graphics asks for it")


def test_answers_are_found_among_what_was_typed() -> None:
    assert parse(b"ll" + KITTY + b"q" + CELL + ATTRIBUTES) == Answers(True, True, (9, 18), True, True)
    assert parse(b"\x1b_Gi=4211;ENOTSUPPORTED:no\x1b\\\x1b[?62;22c") == Answers(complete=True, asked=True)
    # 64 is a level, and 4 the last digit of another attribute.
    assert not parse(b"\x1b[?64;1;24c").sixel
    assert parse(b"\x1b[6;0;0t").cell_px is None
    assert parse(b"") == Answers(asked=True)


@pytest.mark.parametrize(
    ("answers", "name", "why"),
    [
        (Answers(kitty=True, sixel=True, complete=True, asked=True), "kitty", "says that it draws it"),
        (Answers(sixel=True, complete=True, asked=True), "sixel", "says that it draws it"),
        (Answers(complete=True, asked=True), "halfblock", "neither"),
        (Answers(asked=True), "halfblock", "did not answer within 0.5 s"),
        (Answers(), "halfblock", "no terminal"),
    ],
)
def test_the_reason_is_named(answers: Answers, name: str, why: str) -> None:
    choice = from_answers(answers)
    assert choice.name == name
    assert why in choice.why


@pytest.fixture
def pty() -> Iterator[tuple[int, int]]:
    """(terminal's side, program's side)."""
    terminal, program = os.openpty()
    yield terminal, program
    os.close(terminal)
    os.close(program)


def test_a_terminal_that_answers_is_heard_and_left_as_it_was(pty: tuple[int, int]) -> None:
    terminal, program = pty
    before = termios.tcgetattr(program)
    heard = []

    def answer() -> None:
        while QUESTION not in b"".join(heard):
            heard.append(os.read(terminal, 100))
        os.write(terminal, KITTY)
        time.sleep(0.05)
        os.write(terminal, CELL + ATTRIBUTES)

    thread = threading.Thread(target=answer)
    start = time.monotonic()
    with Question(reading=program, writing=program) as question:
        thread.start()
        assert not termios.tcgetattr(program)[3] & termios.ECHO, "answers would be seen"
        assert question.answers() == Answers(True, True, (9, 18), True, True)
    assert time.monotonic() - start < ANSWER_S
    thread.join()
    assert termios.tcgetattr(program) == before


def test_a_silent_terminal_is_not_waited_for(pty: tuple[int, int]) -> None:
    _, program = pty
    start = time.monotonic()
    with Question(reading=program, writing=program) as question:
        time.sleep(0.2)  # Other work counts.
        assert question.answers() == Answers(asked=True)
    assert ANSWER_S <= time.monotonic() - start < ANSWER_S + 0.2


def test_the_terminal_is_left_as_it_was_by_errors_too(pty: tuple[int, int]) -> None:
    _, program = pty
    before = termios.tcgetattr(program)
    with pytest.raises(RuntimeError), Question(reading=program, writing=program):
        raise RuntimeError
    assert termios.tcgetattr(program) == before


def test_nothing_is_asked_without_a_terminal_or_without_need(pty: tuple[int, int]) -> None:
    read, write = os.pipe()
    with Question(reading=read, writing=write) as question:
        assert question.answers() == Answers()
    os.close(write)
    assert os.read(read, 10) == b""
    os.close(read)
    terminal, program = pty
    with Question(put=False, reading=program, writing=program) as question:
        assert question.answers() == Answers()
    os.set_blocking(terminal, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal, 10)
