from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowtui.tui.logs import LIMIT_BYTES, LogFile, log_path, start_logging


@pytest.fixture
def handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LogFile]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = start_logging()
    yield made
    made.close()
    logging.getLogger("flowtui").removeHandler(made)


def test_there_is_no_file_before_there_is_something_to_say(handler: LogFile, tmp_path: Path) -> None:
    logging.getLogger("flowtui.tui").info("nothing")
    assert not list(tmp_path.iterdir())
    logging.getLogger("flowtui.tui").warning("something")
    assert "something" in log_path().read_text()
    assert log_path().is_relative_to(tmp_path)


def test_it_is_started_once(handler: LogFile) -> None:
    assert start_logging() is handler


def test_a_place_that_cannot_be_written_is_remembered_not_raised(
    handler: LogFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "flowtui").touch()
    logging.getLogger("flowtui").error("lost")
    assert handler.broken
    assert capsys.readouterr().err == ""


def test_a_large_file_is_set_aside(handler: LogFile) -> None:
    log_path().parent.mkdir(parents=True)
    log_path().write_text("old " * (LIMIT_BYTES // 4 + 1))
    logging.getLogger("flowtui").error("new")
    assert "new" in log_path().read_text()
    assert "old" not in log_path().read_text()
    assert log_path().with_suffix(".log.1").read_text().startswith("old ")
