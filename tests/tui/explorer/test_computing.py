"""Computing what is missing, with a made-up engine."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.results import Run
from flowtui.engine.spec import CamParameters
from flowtui.engine.workflow import Progress
from flowtui.errors import CancelledError, EngineError
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.computing import busy_from, for_file, requests_for
from flowtui.tui.explorer.dialogs import ConfirmScreen
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.statusbar import busy_parts, duration
from tests.factories import random_run

FULL = random_run()
EMPTY = replace(FULL, analyses={})


def without(run: Run, name: str, *layers: int) -> Run:
    analysis = run.analyses[name]
    return run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k not in layers}))


def text_of(app: ExplorerApp, panel: str) -> str:
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


def test_one_request_per_incomplete_analysis_with_its_own_parameters() -> None:
    run = without(FULL, "cam", 3, 4)
    run = replace(run, analyses={k: v for k, v in run.analyses.items() if k != "truncation"})
    cam = run.analyses["cam"]
    run = run.with_analysis(replace(cam, parameters={**cam.parameters, "site": "input"}))
    cam_request, truncation = requests_for(run)
    assert cam_request.analysis == "cam"
    assert cam_request.layers == (3, 4)
    assert cam_request.parameters == CamParameters(site="input")
    assert truncation.layers == tuple(range(13))
    assert requests_for(FULL) == []


async def test_layers_fill_in_live_and_the_file_is_written(fake_engine, tmp_path: Path) -> None:
    path = tmp_path / "run.pkl"
    write_plain(path, EMPTY.to_plain())
    engine = fake_engine(FULL)
    app = ExplorerApp(EMPTY, path=path, engine=engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l", "r")
        engine.allow(3)
        await until(pilot, lambda: engine.sent == 3)
        assert sorted(app.facts.run.analyses["attention"].layers) == [0, 1, 2]
        assert "Esc cancels" in text_of(app, "status")
        assert "attention layer 2/11" in text_of(app, "status")
        assert "17 %" in text_of(app, "status")
        assert "10 s left" in text_of(app, "status")
        assert "attention: 9 of 12 layers missing." in text_of(app, "groups")
        # Keys answer while it computes.
        await pilot.press("l", "m")
        assert app.look.layer == 2
        assert "peak row" in text_of(app, "map")
        engine.allow(100)
        await until(pilot, lambda: app.busy is None)
        await until(pilot, lambda: Run.from_plain(read_plain(path)).missing("truncation") == ())
        assert app.facts.missing == ()
        assert "cliff K 7" in text_of(app, "curve")
    again = Run.from_plain(read_plain(path))
    assert all(not again.missing(name) for name in ("attention", "cam", "truncation"))
    assert engine.closed


async def until(pilot, condition) -> None:  # type: ignore[no-untyped-def]
    """Lets the loop turn until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():
        await pilot.pause()
        await asyncio.sleep(0)
    await pilot.pause()


async def test_escape_cancels_and_keeps_what_arrived(fake_engine, tmp_path: Path) -> None:
    path = tmp_path / "run.pkl"
    engine = fake_engine(FULL)
    app = ExplorerApp(EMPTY, path=path, engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r")
        engine.allow(2)
        await until(pilot, lambda: engine.sent == 2)
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
        assert engine.closed
        assert toasts(app) == ["Cancelled. What had arrived is kept."]
        assert sorted(app.facts.run.analyses["attention"].layers) == [0, 1]
        await until(pilot, path.exists)
        # And it can go on from there.
        asked = len(engine.requests)
        await pilot.press("r")
        await until(pilot, lambda: len(engine.requests) > asked)
        assert engine.requests[asked].layers == tuple(range(2, 12))
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
    assert len(Run.from_plain(read_plain(path)).analyses["attention"].layers) == 2


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (EngineError("The engine went away.", "Look into the log."), "The engine went away. Look into the log."),
        (ValueError("odd \x1b]52;c;AAAA\x07"), "ValueError: odd ␛]52;c;AAAA␇."),
    ],
)
async def test_an_error_midway_is_a_toast_and_loses_nothing(fake_engine, error: Exception, says: str) -> None:
    engine = fake_engine(FULL, fail_at=2, error=error)
    app = ExplorerApp(EMPTY, engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r")
        engine.allow(5)
        await until(pilot, lambda: app.busy is None)
        assert says in toasts(app)[0]
        assert sorted(app.facts.run.analyses["attention"].layers) == [0, 1]
        await pilot.press("l")
        assert app.look.layer == 1


async def test_an_engine_that_says_cancelled_is_no_error(fake_engine) -> None:
    engine = fake_engine(FULL, fail_at=0, error=CancelledError("cancelled"))
    app = ExplorerApp(EMPTY, engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r")
        engine.allow(1)
        await until(pilot, lambda: app.busy is None)
        assert toasts(app) == ["Cancelled. What had arrived is kept."]


async def test_nothing_missing_no_engine_and_already_running(fake_engine) -> None:
    app = ExplorerApp(FULL)
    async with app.run_test() as pilot:
        await pilot.press("r", "escape")
        assert toasts(app) == ["Nothing is missing: every analysis has all its layers."]
    app = ExplorerApp(EMPTY)
    async with app.run_test() as pilot:
        await pilot.press("r")
        assert toasts(app) == ["This explorer was opened without an engine."]
    engine = fake_engine(FULL)
    app = ExplorerApp(EMPTY, engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r", "r")
        assert toasts(app) == ["A computation is running. Esc cancels it."]


async def test_a_model_that_only_the_file_names_needs_a_yes(fake_engine) -> None:
    engine = fake_engine(FULL)
    run = replace(EMPTY, spec=replace(EMPTY.spec, model="evil/\x1b[31mmodel"))
    app = ExplorerApp(run, engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmScreen)
        assert "evil/␛[31mmodel" in app.screen._question
        await pilot.press("n")
        await pilot.pause()
        assert app.busy is None
        assert engine.requests == []
        await pilot.press("r")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: bool(engine.requests))
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
        # Once is enough.
        await pilot.press("r")
        await pilot.pause()
        assert not isinstance(app.screen, ConfirmScreen)


async def test_cam_at_the_input_is_shown_but_does_not_replace_the_files(fake_engine, tmp_path: Path) -> None:
    path = tmp_path / "run.pkl"
    other = random_run(seed=5)
    cam = other.analyses["cam"]
    full = FULL.with_analysis(replace(cam, parameters={**cam.parameters, "site": "input"}))
    engine = fake_engine(full)
    app = ExplorerApp(FULL, path=path, engine=engine)
    async with app.run_test() as pilot:
        app.compute_cam("input")
        engine.allow(100)
        await until(pilot, lambda: app.busy is None)
        assert engine.requests[0].parameters == CamParameters(site="input")
        assert app.facts.run.analyses["cam"].parameters["site"] == "input"
        assert not path.exists()
        app.compute_cam("post_attention")
        assert app.busy is None
        assert app.facts.run.analyses["cam"] is FULL.analyses["cam"]


def test_what_the_file_has_with_other_parameters_stays() -> None:
    cam = FULL.analyses["cam"]
    shown = FULL.with_analysis(replace(cam, parameters={**cam.parameters, "site": "input"}, layers={}))
    assert for_file(shown, FULL).analyses == FULL.analyses
    assert for_file(FULL, EMPTY).analyses == FULL.analyses


async def test_a_file_that_cannot_be_written_is_a_toast(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(FULL)
    app = ExplorerApp(EMPTY, path=tmp_path / "gone" / "run.pkl", engine=engine)
    async with app.run_test() as pilot:
        await pilot.press("r")
        engine.allow(100)
        await until(pilot, lambda: app.busy is None)
        await until(pilot, lambda: bool(toasts(app)))
        assert app.facts.missing == ()


def test_progress_in_words() -> None:
    assert busy_from(Progress("analyse", "truncation", 5, 0.4, 3.2), FULL).text == "truncation K 5/12"
    assert busy_from(Progress("load", None, None, None, None), FULL).text == "loading the model"
    assert busy_from(Progress("cam", "cam", None, 0.0, None), FULL).text == "cam"
    busy = busy_from(Progress("analyse", "cam", 5, 0.4, 65.0), FULL)
    assert "".join(busy_parts(busy, 80)) == "cam layer 5/11 ▕████████            ▏  40 % · 1 min 05 s left"
    assert "".join(busy_parts(busy, 44)).endswith("40 % · 1 min 05 s left")
    assert [duration(s) for s in (0.2, 59.4, 61, 3700)] == ["0 s", "59 s", "1 min 01 s", "1 h 01 min"]
