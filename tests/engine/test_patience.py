"""A far engine's reader: patient with a quiet line for a while, and never wrong about one that has something."""

from __future__ import annotations

import io
import os
import threading

import pytest

from flowtui.engine.patience import PatientReader


@pytest.fixture
def line() -> tuple[PatientReader, int]:
    reading, writing = os.pipe()
    return PatientReader(reading, 0.05), writing


def test_silence_is_the_end(line: tuple[PatientReader, int]) -> None:
    reader, writing = line
    os.write(writing, b"abc")
    assert io.BufferedReader(reader).read(10) == b"abc"
    assert reader.lost_patience
    os.close(writing)


def test_the_real_end_is_told_apart(line: tuple[PatientReader, int]) -> None:
    reader, writing = line
    os.close(writing)
    assert reader.read(1) == b""
    assert not reader.lost_patience


def test_without_a_limit_it_waits(line: tuple[PatientReader, int]) -> None:
    reader, writing = line
    reader.patience_s = None
    later = threading.Timer(0.2, os.write, (writing, b"late"))
    later.start()
    assert io.BufferedReader(reader).read(4) == b"late"
    later.join()
    os.close(writing)


def test_what_has_come_counts_however_late_it_is_read(line: tuple[PatientReader, int]) -> None:
    reader, writing = line
    os.write(writing, b"x")
    threading.Event().wait(0.1)  # twice its patience, without reading
    assert reader.read(1) == b"x"
    assert not reader.lost_patience
    os.close(writing)
