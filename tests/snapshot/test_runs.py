"""Several runs as a picture: `pytest tests/snapshot --snapshot-update` after a change that is meant."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from flowtui.cache.runfile import write_plain
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.askscreen import AskScreen
from flowtui.tui.explorer.browsing import BrowseScreen
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.runlist import RunList
from flowtui.tui.explorer.session import Session
from tests.factories import png, random_run

ONE = random_run()
TWO = random_run(answer=("no",), cliff=None, seed=1)
SIZES = [(80, 24), (120, 40)]


class Idle:
    """An engine that nobody asks."""

    local = True

    def compute(self, *_: object) -> NoReturn:
        raise AssertionError

    async def create(self, *_: object) -> NoReturn:
        raise AssertionError

    async def close(self) -> None:
        pass


def with_question(run, question: str, seed: int = 0):  # type: ignore[no-untyped-def]
    return replace(run, spec=replace(run.spec, question=question, images=(png(seed=seed),)))


def several() -> ExplorerApp:
    """Three open runs, the second on screen."""
    app = ExplorerApp(ONE, path=Path("presence.pkl"))
    for i, question in enumerate(("Is there a red circle in the picture, and where?", "How many?"), 2):
        run = with_question(TWO, question)
        app.sessions.append(Session(run, Path(f"presence-{i}.pkl"), Look(layer=5), app._graphics))
    app.session = app.sessions[1]
    return app


async def settle(pilot, ready) -> None:  # type: ignore[no-untyped-def]
    while not ready():
        await pilot.pause()
        await asyncio.sleep(0.001)
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_tab_bar(snap_compare, size: tuple[int, int]) -> None:
    assert snap_compare(several(), terminal_size=size)


def test_tab_bar_without_colours(snap_compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(several(), terminal_size=(80, 24))


def test_tab_bar_of_many_runs(snap_compare) -> None:
    app = several()
    app.sessions += [Session(ONE, Path(f"more-{i}.pkl"), Look(), app._graphics) for i in range(6)]
    assert snap_compare(app, terminal_size=(80, 24))


@pytest.mark.parametrize("size", SIZES)
def test_ask(snap_compare, size: tuple[int, int]) -> None:
    run = replace(ONE, spec=replace(ONE.spec, system="You look at one picture and answer in few words."))
    app = ExplorerApp(run, path=Path("presence.pkl"), engine=Idle())
    app.sessions.append(Session(with_question(TWO, "Is there a red circle?"), Path("b.pkl"), Look(), app._graphics))

    async def ask(pilot) -> None:  # type: ignore[no-untyped-def]
        await pilot.press("a")
        await settle(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.app.workers.wait_for_complete()
        await pilot.press("down")
        # The cursor blinks.
        app.screen.query_one("#question").cursor_blink = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=ask)


@pytest.mark.parametrize(("size", "plain"), [((80, 24), False), ((120, 40), False), ((80, 24), True)])
def test_list_of_runs(
    snap_compare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: tuple[int, int], plain: bool
) -> None:
    # A short name of the folder, and the same in every call.
    folder = tmp_path / "runs"
    folder.mkdir()
    monkeypatch.setattr("flowtui.tui.explorer.browsing.visible", lambda text: text.replace(str(folder), "/data/runs"))
    questions = ("What do you see in the image?", "Is there a red circle in the picture? " * 4, "How many?")
    for i, question in enumerate(questions):
        run = with_question(TWO if i else ONE, question, i)
        write_plain(folder / f"run-{i}.pkl", run.to_plain())
    (folder / "torn.pkl").write_bytes((folder / "run-0.pkl").read_bytes()[:5000])
    for age, name in enumerate(("run-0", "run-1", "torn", "run-2")):
        os.utime(folder / f"{name}.pkl", (1e9 - age, 1e9 - age))
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    app = ExplorerApp(ONE, path=folder / "run-0.pkl", graphics=Ascii() if plain else None)

    async def browse(pilot) -> None:  # type: ignore[no-untyped-def]
        await pilot.press("b")
        await settle(pilot, lambda: isinstance(app.screen, BrowseScreen))
        lines = app.screen.query_one(RunList)
        await settle(pilot, lambda: "reading" not in "".join(strip.text for strip in lines._lines))
        await pilot.press("j")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=browse)


@pytest.mark.parametrize("size", SIZES)
def test_two_runs_compared(snap_compare, size: tuple[int, int]) -> None:
    app = several()
    deep = random_run(layers=32, heads=2, seed=2, cliff=18)
    app.sessions[0] = Session(deep, Path("deep.pkl"), Look(), app._graphics)
    app.session.look = replace(app.session.look, view="compare", beside=0)
    assert snap_compare(app, terminal_size=size)
