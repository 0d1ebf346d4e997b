"""The way to the terminal, over a pipe in place of one."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from flowtui.tui.explorer import line as module
from flowtui.tui.explorer.line import ASK, ASK_BYTES, ROOM_BYTES, Line

MUCH = "x" * (1 << 20)


class Pipe:
    """A line into a pipe, and its other end."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.room = threading.Event()
        self.line = Line(self.writer, self.room.set)
        self.line.start()

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += os.read(self.reader, count - len(data))
        return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    os.close(made.reader)
    made.line.finish()
    os.close(made.writer)


def test_what_is_written_comes_out_in_order(pipe: Pipe) -> None:
    for i in range(100):
        pipe.line.write(f"{i:04}")
    assert pipe.read(400).decode() == "".join(f"{i:04}" for i in range(100))


def test_only_the_thread_writes(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = set()
    write = os.write

    def seen(descriptor: int, data: bytes) -> int:
        writers.add(threading.current_thread())
        return write(descriptor, data)

    monkeypatch.setattr(module.os, "write", seen)
    pipe.line.write("abc")
    assert pipe.read(3) == b"abc"
    assert writers == {pipe.line}


def test_a_line_that_takes_nothing_blocks_nobody(pipe: Pipe) -> None:
    """A pipe holds 64 KiB: a writer without a thread would never come back from here."""
    pipe.line.write(MUCH)
    pipe.line.write(MUCH)
    assert not pipe.line.has_room
    assert not pipe.room.is_set()
    pipe.read(2 * (len(MUCH) + len(ASK)) - len(ASK))
    assert pipe.room.wait(10)
    assert pipe.line.has_room


def test_once_the_terminal_answers_bytes_count_until_it_has_them(pipe: Pipe) -> None:
    pipe.line.write("x" * ASK_BYTES)
    assert pipe.read(ASK_BYTES + len(ASK)).endswith(ASK.encode())
    # It has not answered yet, and may never: only what is not written counts.
    assert pipe.line.has_room
    assert pipe.line.answered()
    pipe.line.write("x" * 3 * ROOM_BYTES)
    pipe.read(3 * ROOM_BYTES + len(ASK))
    assert not pipe.line.has_room
    assert not pipe.room.is_set()
    assert pipe.line.answered()
    assert pipe.room.wait(10)
    assert pipe.line.has_room


def test_answers_to_nobody_are_passed_on(pipe: Pipe) -> None:
    assert not pipe.line.answered()
    pipe.line.write("x" * (ASK_BYTES - 1))
    pipe.read(ASK_BYTES - 1)
    assert not pipe.line.answered()


def test_a_terminal_that_stops_answering_is_not_waited_for(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    pipe.line.write("x" * ASK_BYTES)
    pipe.line.answered()
    pipe.line.write("x" * 3 * ROOM_BYTES)
    pipe.read(ASK_BYTES + 3 * ROOM_BYTES + 2 * len(ASK))
    assert not pipe.line.has_room
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 60)
    # The writer takes note of what it has written a moment after it can be read.
    while pipe.line.under_way:
        time.sleep(0.001)
    assert pipe.line.has_room


def test_a_terminal_that_stops_answering_is_noticed_without_being_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.5)
    pipe = Pipe()
    pipe.line.write("x" * ASK_BYTES)
    pipe.line.answered()
    pipe.line.write("x" * 3 * ROOM_BYTES)
    # Before it is read, which may take longer than the line is patient.
    assert not pipe.line.has_room
    pipe.read(ASK_BYTES + 3 * ROOM_BYTES + 2 * len(ASK))
    assert pipe.room.wait(10)
    pipe.line.finish()


def test_a_terminal_that_is_gone(pipe: Pipe) -> None:
    os.close(pipe.reader)
    pipe.reader = os.open(os.devnull, os.O_RDONLY)
    pipe.line.write(MUCH)
    pipe.line.write(MUCH)
    pipe.line.finish()
    assert not pipe.line.is_alive()
    assert pipe.line.has_room


def test_the_end_writes_what_is_left(pipe: Pipe) -> None:
    pipe.line.write("last words")
    pipe.line.finish()
    assert not pipe.line.is_alive()
    assert pipe.read(10) == b"last words"


def test_the_end_does_not_wait_for_a_line_that_takes_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_S", 0.05)
    pipe.line.write(MUCH)
    pipe.line.finish()
    assert pipe.line.is_alive()


def test_answers_are_awaited_before_the_terminal_is_given_back(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.line.write("x" * ASK_BYTES)
    waiting = threading.Thread(target=pipe.line.wait_for_answers)
    monkeypatch.setattr(module, "LEAVE_S", 30)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    pipe.line.answered()
    waiting.join(10)
    assert not waiting.is_alive()
