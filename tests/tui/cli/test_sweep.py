"""`flowtui sweep`'s options, and how far it is; nothing here starts an engine."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from flowtui.cache.runfile import write_plain
from flowtui.engine.sweeps.running import State
from flowtui.errors import UsageError
from flowtui.tui.cli import entry
from flowtui.tui.cli.progress import Reporter
from flowtui.tui.cli.run import spec_from
from flowtui.tui.cli.sweep import _Shown
from tests.factories import random_sweep


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no data set 'nothing'"),
        (["pope"], "--questions"),
        (["pope", "--questions", "x"], "images are missing"),
        (["demo", "--strategy", "top-r"], "top-16"),
        (["demo", "--with", "lens"], "--with knows no 'lens'"),
        (["demo", "--images", "."], "makes its own"),
        (["demo", "--limit", "0"], "--limit"),
        (["demo", "-o", "no/folder/s.pkl"], "no folder"),
    ],
)
def test_what_cannot_be_meant(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert entry.run(["sweep", *arguments]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert not list(tmp_path.iterdir())


def test_progress_says_how_many_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    with Reporter(live=True) as reporter:
        shown = _Shown(reporter)
        shown.state(State(4, 20, 0))
        shown.state(State(8, 20, 4, 2.0, 6.0))
        assert reporter._bars is not None
        (task,) = reporter._bars.tasks
        assert (task.completed, task.total) == (8, 20)
        assert (task.fields["layer"], task.fields["left"]) == ("8 of 20, 2.0/s", "6.0 s left")
    assert "Going on after 4 of 20 items." in screen.getvalue()
    assert (shown.done, shown.total) == (8, 20)


def test_an_item_of_another_model_needs_the_users_word(tmp_path: Path) -> None:
    sweep = random_sweep(items=4).to_plain()
    sweep["model"] |= {"name": "someone/else"}
    write_plain(tmp_path / "s.pkl", sweep)
    with pytest.raises(UsageError, match="names the model someone/else") as caught:
        spec_from(f"{tmp_path}/s.pkl#0", None, "demo")
    assert "--model someone/else" in caught.value.hint


def test_image_and_question_or_an_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["run"]) == 2
    assert entry.run(["run", "--images", ".", "a.png", "What?"]) == 2
    assert entry.run(["run", "--from", "s.pkl#0", "a.png", "What?"]) == 2
    assert entry.run(["run", "--from", "s.pkl", "--answer", "x"]) == 2
    assert "takes the place of" in capsys.readouterr().err


def test_show_of_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "s.pkl")
    write_plain(path, random_sweep(items=30).to_plain())
    assert entry.run(["show", path, "--at", "3"]) == 0
    said = capsys.readouterr().out
    for words in ("full model", "all: ", "top-16: ", "random-16: ", "cutting it at K = 3", "Items without an image"):
        assert words in said
    for wrong in (["--layer", "3"], ["--box", "1,2,3,4"], ["--at", "12"]):
        assert entry.run(["show", path, *wrong]) == 2
