"""The journal: what was written is read, whatever the moment it was cut off at; what is not its own is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from flowtui.engine.sweeps.journal import Journal, journal_path
from flowtui.errors import RunFileError, UsageError

HEADER: dict[str, Any] = {"model": "a", "set of questions and images": "q", "options": {"seed": 1, "strategy": ["all"]}}


def record(item: int) -> dict[str, Any]:
    """A record, as far as the journal looks into it."""
    return {"item": item, "text": "line\nbreak \u2028"}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = journal_path(tmp_path / "s.pkl")
    assert path.name == "s.pkl.journal"
    with Journal(path, HEADER) as journal:
        for item in (2, 0, 2):
            journal.add(record(item))
    assert len(path.read_bytes().splitlines()) == 3
    with Journal(path, HEADER) as journal:
        assert journal.records == {2: record(2), 0: record(0)}
        assert journal.dropped == 0
        journal.remove()
    assert not path.exists()


def test_cut_off_anywhere_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, HEADER) as journal:
        journal.add(record(0))
        journal.add(record(1))
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with Journal(path, HEADER) as journal:
            assert len(journal.records) == max(0, sum(end <= length for end in ends) - 1)
            for item in (0, 1):
                journal.add(record(item))
        assert path.read_bytes() == whole


def test_a_torn_line_with_an_end_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, HEADER) as journal:
        journal.add(record(0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"item": 1, "te\0\0\0\n')
    with Journal(path, HEADER) as journal:
        assert list(journal.records) == [0]
        assert journal.dropped == 19
    assert path.read_bytes() == whole


def test_damage_before_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, HEADER) as journal:
        journal.add(record(0))
    damaged = path.read_bytes() + b"junk\n" + path.read_bytes().splitlines()[1] + b"\n"
    path.write_bytes(damaged)
    with pytest.raises(RunFileError, match="line 3 of 4"):
        Journal(path, HEADER)
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b"{}\n", b'{"format": "other"}\n', b"[]\n"])
def test_a_file_that_is_none_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(RunFileError, match="not the journal of a sweep"):
        Journal(path, HEADER)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model": "b"}, r"another model \(was a, is b\)"),
        ({"set of questions and images": "p"}, r"another set of questions and images \(was q, is p\)"),
        (
            {"options": {"seed": 2, "strategy": ["all", "top-4"]}},
            r"seed \(was 1, is 2\), strategy \(was all, is all,top",
        ),
        (
            {"set of questions and images": "p", "options": {"seed": 1, "strategy": []}},
            r"another strategy \(was all, is \)\.$",
        ),
    ],
)
def test_another_sweep_is_refused_with_what_changed(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    path = tmp_path / "j"
    with Journal(path, HEADER) as journal:
        journal.add(record(0))
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        Journal(path, HEADER | changed)
    assert re.search(words, caught.value.message)
    assert f"rm {path}" in caught.value.hint
    assert path.read_bytes() == before


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", HEADER), pytest.raises(UsageError, match="Another process"):
        Journal(tmp_path / "j", HEADER)
    with Journal(tmp_path / "j", HEADER):
        pass


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", HEADER) as journal:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._handle)
        os.close(full)
        with pytest.raises(RunFileError, match="the disk is full"):
            journal.add(record(0))
        assert not journal.records


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match="cannot be opened"):
        Journal(tmp_path / "no" / "j", HEADER)
