from __future__ import annotations

import pytest

from flowtui.engine.client import Progress
from flowtui.tui.cli.progress import Reporter, show_seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0.0 s"), (0.42, "0.4 s"), (12.4, "12 s"), (185, "3:05"), (3723, "1:02:03")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(live=False) as reporter:
        reporter.progress(Progress("cam", "cam", 3, 0.5, 2.0))
        reporter.notice("a \x1b[31mbad entry")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "a ␛[31mbad entry\n"


def test_bars_name_stage_layer_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # rich takes the captured stderr for a terminal.
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with Reporter(live=True) as reporter:
        reporter.progress(Progress("load"))
        reporter.progress(Progress("cam", "cam", 3, 0.5, 185.0))
        assert reporter._bars is not None
        reporter._bars.refresh()
        reporter.notice("[bold]told[/bold]")
    captured = capsys.readouterr()
    assert captured.out == ""
    for text in ("cam", "layer 3", "3:05 left", "[bold]told[/bold]"):
        assert text in captured.err
