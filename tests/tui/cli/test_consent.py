"""Nothing is loaded on a run file's word alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.cache.runfile import write_plain
from flowtui.engine.client import EngineClient
from flowtui.engine.results import Run
from flowtui.errors import CancelledError, UsageError
from flowtui.tui.cli.consent import allow_models
from flowtui.tui.cli.entry import run as run_command
from tests.factories import random_run

PATH = Path("run.pkl")


def named(model: str, revision: str | None = None) -> Run:
    run = random_run(layers=2, heads=1, grid=(2, 2), analyses=())
    return replace(run, spec=replace(run.spec, model=model, revision=revision), model=replace(run.model, name=model))


class Keyboard(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


def type_in(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Keyboard(text))
    monkeypatch.setattr("sys.stderr", Keyboard())


def test_the_shipped_model_needs_no_yes() -> None:
    allow_models([(PATH, named("demo"))], yes=False)


def test_without_anybody_to_ask_it_takes_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    run = named("someone/model\x1b[2J", "abc123")
    with pytest.raises(UsageError, match=r"someone/model.*abc123") as caught:
        allow_models([(PATH, run)], yes=False)
    assert "--yes" in caught.value.hint
    allow_models([(PATH, run)], yes=True)
    said = capsys.readouterr().err
    assert "someone/model␛[2J" in said
    assert "abc123" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_somebody_is_asked(answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    type_in(answer, monkeypatch)
    # The same model in two files is one question; of a second one nobody would answer.
    runs = [(PATH, named("someone/model")), (Path("other.pkl"), named("someone/model"))]
    if goes_on:
        allow_models(runs, yes=False)
    else:
        with pytest.raises(CancelledError):
            allow_models(runs, yes=False)


def test_another_revision_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    type_in("y\nn\n", monkeypatch)
    with pytest.raises(CancelledError):
        allow_models([(PATH, named("someone/model", "a")), (PATH, named("someone/model", "b"))], yes=False)


def test_precompute_starts_no_engine_before_the_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an engine was started")

    monkeypatch.setattr(EngineClient, "start", refuse)
    write_plain(tmp_path / "a.pkl", named("someone/model", "abc123").to_plain())
    write_plain(tmp_path / "b.pkl", named("demo").to_plain())
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run_command(["precompute", str(tmp_path / "b.pkl"), str(tmp_path / "a.pkl")]) == 2
    assert "“someone/model” in revision “abc123”" in capsys.readouterr().err
