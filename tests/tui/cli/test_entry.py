from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Never

import pytest

from flowtui.cache.runfile import write_plain
from flowtui.errors import KINDS, CancelledError, FlowtuiError
from flowtui.tui import readfile
from flowtui.tui.cli import entry
from flowtui.tui.cli.app import COMMANDS, HIDDEN, Commands
from flowtui.tui.cli.screen import files_alone
from tests.factories import random_run


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FLOWTUI_CACHE_DIR", str(tmp_path / "cache"))
    yield
    for handler in logging.getLogger("flowtui").handlers[:]:
        handler.close()
        logging.getLogger("flowtui").removeHandler(handler)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.pkl"
    write_plain(path, random_run().to_plain())
    return path


def fail_with(monkeypatch: pytest.MonkeyPatch, failure: BaseException) -> None:
    def read(path: Path) -> Never:
        raise failure

    monkeypatch.setattr(readfile, "read_file", read)


def test_show_goes_to_stdout_alone(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(["show", str(run_file)]) == 0
    captured = capsys.readouterr()
    assert "a red circle" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind is not CancelledError])
def test_every_error_is_a_line_a_hint_and_its_code(
    kind: type[FlowtuiError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, kind("What \x1bhappened.", "What to do."))
    assert entry.run(["show", "x.pkl"]) == kind.exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "flowtui: What ␛happened.\n  What to do.\n"


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), CancelledError("x")])
def test_cancelling_is_130(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, failure)
    assert entry.run(["show", "x.pkl"]) == 130
    assert capsys.readouterr().err == "Cancelled.\n"


def test_the_unexpected_is_a_sentence_and_a_log_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, RuntimeError("a secret detail"))
    assert entry.run(["show", "x.pkl"]) == 1
    error = capsys.readouterr().err
    log = tmp_path / "state" / "flowtui" / "log" / "flowtui.log"
    assert "RuntimeError" in error
    assert str(log) in error
    assert "Traceback" not in error
    assert "a secret detail" in log.read_text()


def test_a_file_that_cannot_be_written_is_named(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert entry.run(["export", str(run_file), "-o", str(tmp_path / "taken")]) == 1
    assert "taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["show"],
        ["show", "--layer", "x", "a.pkl"],
        ["show", "--csv", "--json", "a.pkl"],
        ["--nope"],
        ["cache", "nope"],
    ],
)
def test_usage_errors_are_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("flowtui: ")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["cache"], ["run", "--help"], ["--version"]])
def test_help_is_data(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert entry.run(arguments) == 0
    captured = capsys.readouterr()
    assert "flowtui" in captured.out
    assert captured.err == ""


def test_help_names_every_command_but_the_hidden_one(capsys: pytest.CaptureFixture[str]) -> None:
    entry.run(["--help"])
    listed = {
        line.split()[0] for line in capsys.readouterr().out.partition("Commands:")[2].splitlines() if line.strip()
    }
    commands = {"demo", "run", "precompute", "explore", "show", "export", "models", "cache", "doctor"}
    assert commands <= listed
    assert "engine" not in listed


def test_a_file_alone_is_explored(run_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Without a terminal the explorer says so: that it is the explorer which answers shows where the file went.
    assert not os.isatty(0) or not os.isatty(1)
    assert entry.run([str(run_file)]) == 2
    assert "explorer needs a terminal" in capsys.readouterr().err
    assert entry.run(["missing.pkl"]) == 3
    assert "missing.pkl" in capsys.readouterr().err


def test_every_command_can_be_made_and_says_what_it_is_for() -> None:
    commands = Commands()
    assert list(commands) == list(COMMANDS)
    for name, text in COMMANDS.items():
        assert commands[name].name == name
        assert commands[name].help
        assert len(text) <= 60, "it is cut in a terminal of 80 columns"
    assert [name for name in commands if commands[name].hidden] == list(HIDDEN)


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = (
        "import sys\nfrom flowtui.tui.cli.entry import run\nassert run(['--help']) == 0\n"
        "print([m for m in sys.modules if m.startswith('flowtui.engine') or m.startswith('flowtui.tui.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].strip("[]").replace("'", "").split(", "))
    assert loaded == {f"flowtui.tui.cli.{name}" for name in ("app", "entry", "output", "screen")}


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("a.pkl", ["a.pkl"]),
        ("a.pkl b", ["a.pkl", "b"]),
        ("explore a b.pkl", ["a", "b.pkl"]),
        ("explore", []),
        ("explore --help", []),
        ("explore a.pkl --graphics ascii", []),
        ("a.pkl -h", []),
        ("show a.pkl", []),
        ("explorer a.pkl", []),
        ("", []),
    ],
)
def test_what_asks_for_the_explorer_alone(line: str, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert files_alone(line.split()) == [Path(file) for file in files]
    monkeypatch.setenv("_FLOWTUI_COMPLETE", "complete_bash")
    assert files_alone(line.split()) == []


@pytest.mark.parametrize("line", [["{}"], ["explore", "{}"], ["explore", "{}", "--graphics", "ascii"]])
def test_the_explorer_alone_needs_no_typer_and_ends_alike(line: list[str], run_file: Path) -> None:
    arguments = [word.format(run_file) for word in line]
    code = f"import sys\nfrom flowtui.tui.cli.entry import run\nprint(run({arguments!r}), 'typer' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.stdout.split() == ["2", str("--graphics" in line)]
    assert "explorer needs a terminal" in done.stderr
