"""Tabs of open runs, and the list of run files."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.cache.runfile import write_plain
from flowtui.engine.results import Run
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.browsing import BrowseScreen
from flowtui.tui.explorer.listing import read_listed, run_files
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.recent import opened_run, recent
from flowtui.tui.explorer.runlist import RunList
from tests.factories import random_run

ONE = random_run()
TWO = random_run(layers=4, answer=("no",), cliff=None, seed=1)
TALL = replace(random_run(layers=3, answer=("tall", "tree"), seed=2), image_sizes=((48, 96),))


def save(path: Path, run: Run, question: str = "") -> Path:
    run = replace(run, spec=replace(run.spec, question=question)) if question else run
    write_plain(path, run.to_plain())
    return path


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


def text_of(app: ExplorerApp, panel: str) -> str:
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


def listed(app: ExplorerApp) -> str:
    return "\n".join(strip.text for strip in app.screen.query_one(RunList)._lines)


async def until(pilot, condition) -> None:  # type: ignore[no-untyped-def]
    """Lets the loop turn until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():
        await pilot.pause()
        await asyncio.sleep(0.001)
    await pilot.pause()


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    made = [save(tmp_path / "one.pkl", ONE, "First?"), save(tmp_path / "two.pkl", TWO, "Second?")]
    return [*made, save(tmp_path / "tall.pkl", TALL, "Third?")]


async def open_all(app: ExplorerApp, pilot, count: int) -> None:  # type: ignore[no-untyped-def]
    await until(pilot, lambda: len(app.sessions) == count)


async def test_several_files_open_in_tabs_and_each_keeps_its_look(runs: list[Path], tmp_path: Path) -> None:
    state = tmp_path / "state" / "explorer.json"
    app = ExplorerApp(ONE, path=runs[0], others=runs[1:], state_file=state)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_all(app, pilot, 3)
        # The first one stays on screen.
        assert app.session is app.sessions[0]
        assert "[1 one: " in text_of(app, "tabs")
        assert "3 tall: Third?" in text_of(app, "tabs")
        assert "{/} run" in text_of(app, "status")
        await pilot.press("l", "l", "m", "tab")
        assert "[2 two: Second?]" in text_of(app, "tabs")
        assert "Second?" in text_of(app, "header")
        assert app.look == Look()
        await pilot.press("G", "right_curly_bracket")
        assert app.session is app.sessions[2]
        await pilot.press("tab")
        assert app.look == Look(layer=2, kind="attention")
        await pilot.press("shift+tab", "left_curly_bracket")
        assert app.look.layer == 3
        for panel in app.query(Panel):
            if panel.display:
                assert panel.region in app.screen.region
    # Every run's look is remembered, and that all were opened.
    assert ExplorerApp(TWO, state_file=state).look.layer == 3
    assert ExplorerApp(ONE, state_file=state).look == Look(layer=2, kind="attention")
    assert {Path(path).name for path in recent(state).runs} == {"one.pkl", "two.pkl", "tall.pkl"}


async def test_with_one_run_there_is_no_tab_bar(runs: list[Path]) -> None:
    app = ExplorerApp(ONE, path=runs[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert not app.query_one("#tabs").display
        height = app.query_one("#map").size.height
        await pilot.press("tab", "w")
        await pilot.pause()
        assert toasts(app)[0].startswith("Only this run is open.")
        assert toasts(app)[1] == "This is the only open run; q quits."
        app.open_file(runs[1])
        await open_all(app, pilot, 2)
        assert app.query_one("#tabs").display
        assert app.query_one("#map").size.height == height - 1
        assert app.session is app.sessions[1]
        # The same file again is the same tab.
        app.open_file(runs[0].parent / ".." / runs[0].parent.name / "one.pkl")
        await until(pilot, lambda: app.session is app.sessions[0])
        assert len(app.sessions) == 2
        await pilot.press("w")
        assert [s.title for s in app.sessions] == ["two.pkl"]
        assert not app.query_one("#tabs").display
        assert "Second?" in text_of(app, "header")


async def test_a_click_on_a_tab_shows_it(runs: list[Path]) -> None:
    app = ExplorerApp(ONE, path=runs[0], others=runs[1:])
    async with app.run_test(size=(80, 24)) as pilot:
        await open_all(app, pilot, 3)
        await pilot.click("#tabs", offset=(1 + 26 + 3, 0))
        await pilot.pause()
        assert app.session is app.sessions[1]


async def test_what_cannot_be_opened_is_a_toast(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torn.pkl").write_bytes(runs[0].read_bytes()[:2000])
    app = ExplorerApp(ONE, path=runs[0], others=[tmp_path / "torn.pkl", tmp_path / "gone.pkl", runs[1]])
    async with app.run_test() as pilot:
        await open_all(app, pilot, 2)
        assert "torn.pkl is" in toasts(app)[0]
        assert "gone.pkl" in toasts(app)[1]


async def test_the_list_has_the_folders_runs_and_opens_one(runs: list[Path], tmp_path: Path) -> None:
    elsewhere = tmp_path / "deep" / "elsewhere.pkl"
    elsewhere.parent.mkdir()
    save(elsewhere, TWO, "Elsewhere?")
    state = tmp_path / "explorer.json"
    opened_run(state, tmp_path / "gone.pkl")
    opened_run(state, elsewhere)
    for age, path in enumerate(runs):
        os.utime(path, (1e9 - age, 1e9 - age))
    app = ExplorerApp(ONE, path=runs[0], state_file=state)
    async with app.run_test(size=(120, 50)) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen) and "Elsewhere?" in listed(app))
        await until(pilot, lambda: "reading" not in listed(app))
        shown = listed(app)
        order = [shown.index(word) for word in ("First?", "Second?", "Third?", "Elsewhere?")]
        assert order == sorted(order)
        assert "A  no" in shown
        assert "demo · 12 layers · cliff K = 7" in shown
        assert "demo · 4 layers · no cliff" in shown
        assert "/deep\n" in "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
        assert "gone" not in shown
        assert shown.count("▀") > 100
        assert "(3) · opened lately elsewhere (1)" in str(app.screen.query_one("#browse").border_title)
        await pilot.press("j", "j", "k", "enter")
        await open_all(app, pilot, 2)
        assert app.session.title == "two.pkl"
        assert recent(state).runs[0] == str(runs[1])


async def test_the_list_moves_pages_and_closes(runs: list[Path], tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"copy-{i:02}.pkl").write_bytes(runs[1].read_bytes())
    app = ExplorerApp(ONE, path=runs[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen))
        runlist = app.screen.query_one(RunList)
        assert runlist.files[runlist.cursor] == runs[0]
        for key, cursor in (("g", 0), ("j", 1), ("down", 2), ("k", 1), ("J", 5), ("pageup", 1), ("G", 32), ("j", 32)):
            await pilot.press(key)
            assert runlist.cursor == cursor, key
            assert cursor in runlist.shown
        await pilot.press("home", "end")
        # What is on screen is read first.
        await until(pilot, lambda: "reading" not in listed(app))
        await pilot.click(RunList, offset=(5, 1))
        assert runlist.cursor == runlist.shown.start == 29
        await pilot.press("b")
        await pilot.pause()
        assert not isinstance(app.screen, BrowseScreen)
        assert len(app.sessions) == 1


async def test_damaged_and_hostile_files_are_listed_and_stay_closed(runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    own = save(folder / "own.pkl", ONE)
    ran = tmp_path / "ran"
    (folder / "evil\x1b]52;c;eA==\x07.pkl").write_bytes(f"cos\nsystem\n(S'touch {ran}'\ntR.".encode())
    (folder / "torn.pkl").write_bytes(own.read_bytes()[:3000])
    (folder / "empty.pkl").touch()
    (folder / "other.pkl").write_bytes(b"\x80\x04N.")
    (folder / "[bold]x[b].pkl").mkdir()
    os.mkfifo(folder / "pipe.pkl")
    (folder / "loop.pkl").symlink_to(folder / "loop.pkl")
    app = ExplorerApp(ONE, path=own)
    async with app.run_test(size=(120, 70)) as pilot:
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen) and "reading" not in listed(app))
        shown = listed(app)
        assert sum(line[2:].startswith("damaged") for line in shown.splitlines()) == 7
        for name in ("evil␛]52;c;eA==␇.pkl", "[bold]x[b].pkl", "torn.pkl", "empty.pkl", "pipe.pkl", "loop.pkl"):
            assert name in shown
        assert "It is refused" in shown
        assert "not a flowtui run" in shown
        assert "not a regular file" in shown
        for strip in app.screen._compositor.render_strips():
            assert strip.text.isprintable(), ascii(strip.text)
        runlist = app.screen.query_one(RunList)
        for index, path in enumerate(runlist.files):
            if path != own:
                runlist.move(index - runlist.cursor)
                before = len(toasts(app))
                await pilot.press("enter")
                await pilot.pause()
                assert len(toasts(app)) == before + 1
                assert isinstance(app.screen, BrowseScreen)
        await pilot.press("escape")
    assert len(app.sessions) == 1
    assert not ran.exists()


HOSTILE = ["\x1b]52;c;ZXZpbA==\x07", "two\nlines", "\x9b31mred", "left\u202eright", "[bold]x[/]"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_of_runs_and_names_of_folders_are_shown(text: str, tmp_path: Path) -> None:
    folder = tmp_path / text.replace("/", "")
    folder.mkdir()
    run = replace(ONE, model=replace(ONE.model, name=text), answer=replace(ONE.answer, text=text))
    paths = [save(folder / f"{name}{text.replace('/', '')}.pkl", run, text) for name in "ab"]
    app = ExplorerApp(run, path=paths[0], others=paths[1:])
    async with app.run_test(size=(120, 40)) as pilot:
        await open_all(app, pilot, 2)
        await pilot.press("tab")
        for strip in app.screen._compositor.render_strips():
            assert strip.text.isprintable(), ascii(strip.text)
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen) and "reading" not in listed(app))
        for strip in app.screen._compositor.render_strips():
            assert strip.text.isprintable(), ascii(strip.text)


async def test_without_colour_thumbnail_and_mark_are_characters(runs: list[Path]) -> None:
    app = ExplorerApp(ONE, path=runs[0], others=runs[1:], graphics=Ascii(), config=Config())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_all(app, pilot, 3)
        assert text_of(app, "tabs").startswith("[1 one: ")
        await pilot.press("b")
        await until(pilot, lambda: isinstance(app.screen, BrowseScreen) and "reading" not in listed(app))
        assert "▀" not in listed(app)
        assert listed(app).count("▐") == 4


def test_a_file_is_read_again_when_it_has_changed(runs: list[Path]) -> None:
    from flowtui.tui.explorer.browsing import _read_again

    first = read_listed(runs[0])
    assert _read_again(runs[0], first) is first
    save(runs[0], ONE, "Changed?")
    os.utime(runs[0], (5, 5))
    assert _read_again(runs[0], first).question == "Changed?"


def test_folders_that_are_not_there_and_files_lately_opened(tmp_path: Path, runs: list[Path]) -> None:
    assert run_files(tmp_path / "gone", [str(runs[0]), str(tmp_path / "gone.pkl"), "\x00"]) == ([], [runs[0]])
    here, elsewhere = run_files(tmp_path, [str(runs[0])])
    assert sorted(here) == sorted(runs)
    assert elsewhere == []


def test_what_a_large_file_holds_is_not_read(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowtui.tui.explorer.listing.MAX_PREVIEW_BYTES", 100)
    found = read_listed(runs[0])
    assert not found.problem
    assert "too large to be shown here, Enter opens it" in found.about
