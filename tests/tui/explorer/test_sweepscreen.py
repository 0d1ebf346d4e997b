"""A sweep on screen: every binding, through Textual's own pilot, at every size."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from textual.command import CommandPalette

from flowtui.cache.runfile import write_plain
from flowtui.errors import UsageError
from flowtui.tui.config import Config
from flowtui.tui.draw.ink import DARK
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.bindings import BINDING_IDS
from flowtui.tui.explorer.browsing import BrowseScreen
from flowtui.tui.explorer.dialogs import ExportScreen, HelpScreen
from flowtui.tui.explorer.sweepfacts import SweepFacts
from flowtui.tui.explorer.sweepkeys import SWEEP_SECTIONS
from flowtui.tui.explorer.sweeplook import SweepLook
from flowtui.tui.explorer.sweepview import SweepDrawing, SweepFrame
from tests.factories import random_run, random_sweep
from tests.tui.explorer.sweeps import BOTH, LARGE, PATH, SWEEP, look_of, opened_sweep, screen_text, settled

SIZES = [(60, 20), (80, 24), (120, 40), (250, 70)]


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


KEYS = (
    ("l", SweepLook(k=1)), ("right right left", SweepLook(k=1)), ("l h h", SweepLook()),
    ("L", SweepLook(k=10)), ("shift+right H", SweepLook()), ("L L", SweepLook(k=12)),
    ("L shift+left", SweepLook()), ("G", SweepLook(k=12)), ("end g", SweepLook()), ("G home", SweepLook()),
    ("m", SweepLook(metric=1)), ("m m", SweepLook()),
    ("right_square_bracket", SweepLook(curve=1)), ("left_square_bracket", SweepLook(curve=2)),
    ("t", SweepLook(difference=True)), ("t t", SweepLook()),
    ("v", SweepLook(which="lost")), ("v v v v v", SweepLook()), ("V", SweepLook(which="all")),
    ("V j", SweepLook(which="all", item=1)), ("V down down k", SweepLook(which="all", item=1)),
    ("V down down up", SweepLook(which="all", item=1)),
    ("V J", SweepLook(which="all", item=10)), ("V shift+down K", SweepLook(which="all", item=0)),
    ("V pagedown pagedown pageup", SweepLook(which="all", item=10)),
    ("V J J shift+up", SweepLook(which="all", item=10)),

)  # fmt: skip


async def test_keys_change_what_is_shown() -> None:
    async with opened_sweep() as (app, pilot):
        for keys, look in KEYS:
            app.sweep_screen.look_at(SweepLook())
            await pilot.press(*keys.split())
            assert look_of(app) == look, keys


async def test_cliff_and_steepest() -> None:
    async with opened_sweep(LARGE) as (app, pilot):
        facts = app.sweeps[0].facts
        found = facts.found(SweepLook())
        assert found is not None
        await pilot.press("c")
        assert look_of(app).k == found.k == 7
        text = screen_text(app)
        assert f"cliff K 7 ({found.interval[0]}–{found.interval[1]})" in text
        assert found.verdict[:40] in " ".join(text.split())
        await pilot.press("g", "s")
        assert look_of(app).k == facts.ranked(SweepLook())[0]


async def test_no_cliff_and_no_curve_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened_sweep() as (app, pilot):
        await pilot.press("c")
        assert "No cliff" in toasts(app)[-1] or look_of(app).k > 0

    def fails(*_: object) -> None:
        raise UsageError("There are no items with an image.")

    monkeypatch.setattr(SweepFacts, "find", fails)
    app = ExplorerApp(BOTH, path=PATH)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "There are no items with an image." in " ".join(screen_text(app).split())
        await pilot.press("c")
        assert "There are no items" in toasts(app)[-1]


async def test_a_defect_in_the_search_is_said_and_the_rest_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SweepFacts, "find", lambda *_: 1 / 0)
    app = ExplorerApp(BOTH, path=PATH)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "ZeroDivisionError" in screen_text(app)
        await pilot.press("l")
        assert "K 1:" in screen_text(app)


async def test_keys_are_answered_while_the_cliff_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), SweepFacts.find

    def waits(self: SweepFacts, look: SweepLook) -> object:
        go.wait(20)
        return real(self, look)

    monkeypatch.setattr(SweepFacts, "find", waits)
    app = ExplorerApp(LARGE, path=PATH)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("l", "l")
        assert look_of(app).k == 2
        assert "finding the cliff" in screen_text(app)
        await pilot.press("c")
        go.set()
        await settled(app, pilot)
        # It was waited for.
        assert look_of(app).k == 7


@pytest.mark.parametrize("size", SIZES)
async def test_legends_units_and_verdict_are_there_at_every_size(size: tuple[int, int]) -> None:
    async with opened_sweep(size=size, look=SweepLook(k=2)) as (app, pilot):
        text = screen_text(app)
        assert [len(row) for row in text.splitlines()] == [size[0] - 2] * size[1]
        for words in ("accuracy, %", "K 2/12", "points", "[accuracy]", "[all]", "truth", "? help", "q quit"):
            assert words in text
        assert "lose" in text
        assert "┤" in text
        await pilot.press("t")
        assert "points  K 2/12" in screen_text(app)


def test_any_size_and_state_is_filled() -> None:
    facts = [SweepFacts(s) for s in (BOTH, random_sweep(layers=1, items=2), random_sweep(layers=96, items=9, cliff=0))]
    for one in facts:
        for found in (False, True):
            if found:
                one.find(SweepLook())
            for width, height in [(1, 1), (18, 3), (38, 5), (75, 22), (76, 22), (118, 40)]:
                for look in (
                    SweepLook(), SweepLook(k=one.layers), SweepLook(difference=True), SweepLook(which="gained"),
                    SweepLook(which="all", item=1, metric=len(one.metrics) - 1, curve=len(one.labels) - 1),
                ):  # fmt: skip
                    made = SweepDrawing().draw(SweepFrame(one, look, DARK, "a.pkl", (("q", "quit"),)), width, height)
                    assert [strip.cell_length for strip in made] == [width] * height


async def test_a_step_plots_nothing_anew() -> None:
    facts = SweepFacts(SWEEP)
    drawing, frame = SweepDrawing(), SweepFrame(facts, SweepLook(), DARK, "", ())
    drawing.draw(frame, 118, 40)
    kept = drawing._kept[1]
    drawing.draw(replace(frame, look=SweepLook(k=5, which="lost")), 118, 40)
    assert drawing._kept[1] is kept
    facts.find(SweepLook())
    drawing.draw(frame, 118, 40)
    assert drawing._kept[1] is not kept


async def test_the_mouse_picks_k_and_item() -> None:
    for size in SIZES:
        async with opened_sweep(size=size, look=SweepLook(which="all")) as (app, pilot):
            rows = screen_text(app).splitlines()
            cursor = next(y for y, row in enumerate(rows) if "▸" in row)
            await pilot.click("#sweep", offset=(rows[cursor].index("▸") + 3, cursor + 2))
            await pilot.pause()
            assert look_of(app).item == 2
            axis = next(y for y, row in enumerate(rows) if row.strip().startswith("K 0"))
            await pilot.click("#sweep", offset=(rows[axis].index("12") + 1, axis - 3))
            await pilot.pause()
            assert look_of(app).k in (11, 12)
            await pilot.click("#sweep", offset=(3, 0))
            await pilot.click("#sweep", offset=(3, size[1] - 1))
            assert look_of(app).item == 2


async def test_help_lists_every_binding() -> None:
    async with opened_sweep() as (app, pilot):
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        text = app.screen._text.plain
        for section in SWEEP_SECTIONS.values():
            for binding in section:
                assert binding.description in text
        assert "An item flips" in text
        assert "demo, 60 items" in text
        await pilot.press("escape")
        assert app.screen is app.sweep_screen


async def test_the_palette_has_every_action_and_every_k() -> None:
    async with opened_sweep() as (app, pilot):
        titles = [command.title.lower() for command in app.get_system_commands(app.screen)]
        for section in SWEEP_SECTIONS.values():
            for binding in section:
                assert binding.description.lower() in titles or binding.id == "palette"
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert isinstance(app.screen, CommandPalette)
        await pilot.press(*"go to k 11")
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert look_of(app).k == 11


def test_every_id_is_known_and_its_own() -> None:
    ids = [binding.id for section in SWEEP_SECTIONS.values() for binding in section]
    assert set(ids) - {"run.sweep"} <= BINDING_IDS
    assert len(set(ids)) == len(ids)


async def test_remapped_keys_work_here_too() -> None:
    async with opened_sweep(config=Config(keys={"layer.next": "f5", "view.turn": "f6"})) as (app, pilot):
        await pilot.press("f5", "f5", "l", "f6")
        assert look_of(app) == SweepLook(k=2, difference=True)
        assert "h/f5 K" in screen_text(app)


async def test_copy() -> None:
    async with opened_sweep(look=SweepLook(k=1)) as (app, pilot):
        await pilot.press("y")
        lines = app.clipboard.splitlines()
        assert lines[0].startswith("demo, demo, ")
        assert lines[1].startswith("K 1: accuracy ")
        assert len(lines) == 4 + len(app.sweeps[0].facts.listed(SweepLook(k=1)))


@pytest.mark.parametrize(("row", "files"), [(3, {"curves.csv", "items.csv"}), (4, {"sweep.json"})])
async def test_export(tmp_path: Path, row: int, files: set[str]) -> None:
    async with opened_sweep(path=tmp_path / "s.pkl") as (app, pilot):
        await pilot.press("e")
        await pilot.pause()
        assert isinstance(app.screen, ExportScreen)
        await pilot.press(*["j"] * row, "enter")
        await settled(app, pilot)
        assert {path.name for path in (tmp_path / "s-export").iterdir()} == files
        assert toasts(app)[-1].endswith(f"written to {tmp_path / 's-export'}.")
        await pilot.press("e", "escape", "l")
        assert look_of(app).k == 1


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_it_quits(key: str) -> None:
    app = ExplorerApp(SWEEP, path=PATH)
    async with app.run_test() as pilot:
        await pilot.press(key)
        await pilot.pause()
    assert app.return_code == 0


async def test_a_resize_and_another_theme_reach_it() -> None:
    async with opened_sweep(size=(80, 24)) as (app, pilot):
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert len(screen_text(app).splitlines()) == 40
        app.theme = "textual-light"
        await pilot.pause()
        assert not app.sweep_screen.frame().ink.dark
        await pilot.resize_terminal(30, 8)
        await pilot.pause()
        assert len(screen_text(app).splitlines()) == 8


async def test_the_look_comes_back(tmp_path: Path) -> None:
    state = tmp_path / "explorer.json"
    async with opened_sweep(state_file=state) as (_, pilot):
        await pilot.press("l", "l", "m", "v", "q")
    async with opened_sweep(state_file=state) as (app, _):
        assert look_of(app) == SweepLook(k=2, metric=1, which="lost")
    async with opened_sweep(random_sweep(items=30), state_file=state) as (app, _):
        assert look_of(app) == SweepLook()


# Between sweeps and runs


async def test_alone_there_is_nowhere_to_go() -> None:
    async with opened_sweep() as (app, pilot):
        await pilot.press("tab", "S", "escape", "w")
        assert app.sweep_screen is not None
        assert toasts(app)[0].startswith("Only this sweep is open.")
        assert toasts(app)[-1].startswith("This is the only open sweep")


async def test_from_a_run_to_the_sweep_and_back(tmp_path: Path) -> None:
    run, sweep = tmp_path / "run.pkl", tmp_path / "sweep.pkl"
    write_plain(run, random_run().to_plain())
    write_plain(sweep, BOTH.to_plain())
    app = ExplorerApp(random_run(), path=run, others=(sweep,))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert app.sweep_screen is None
        assert "S sweep" in "".join(s.text for s in app.query_one("#status")._lines)
        await pilot.press("S")
        await settled(app, pilot)
        assert "flowtui sweep" in screen_text(app)
        assert "S runs" in screen_text(app)
        await pilot.press("l")
        for key in ("S", "escape", "tab", "shift+tab", "right_curly_bracket", "left_curly_bracket"):
            await pilot.press(key)
            assert app.sweep_screen is None
            await pilot.press("l", "h", "S")
            assert look_of(app).k == 1
        await pilot.press("w")
        await pilot.pause()
        assert (app.sweep_screen, app.sweeps) == (None, [])
        await pilot.press("S")
        assert toasts(app)[-1].startswith("No sweep is open.")


async def test_several_sweeps_take_turns(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.pkl" for i in range(2)]
    for i, path in enumerate(paths):
        write_plain(path, random_sweep(items=20 + i).to_plain())
    app = ExplorerApp(random_sweep(items=20), path=paths[0], others=(paths[1],))
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        assert "20 items" in screen_text(app)
        await pilot.press("tab")
        await settled(app, pilot)
        assert "21 items" in screen_text(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "20 items" in screen_text(app)
        await pilot.press("w")
        await settled(app, pilot)
        assert "21 items" in screen_text(app)
        assert len(app.sweeps) == 1


async def test_the_list_of_files_opens_sweeps_and_runs(tmp_path: Path) -> None:
    run, sweep = tmp_path / "b-run.pkl", tmp_path / "a-sweep.pkl"
    write_plain(run, random_run().to_plain())
    write_plain(sweep, SWEEP.to_plain())
    app = ExplorerApp(SWEEP, path=sweep)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(app, pilot)
        await pilot.press("b")
        await settled(app, pilot)
        assert isinstance(app.screen, BrowseScreen)
        assert app._listed[sweep].question == "Sweep of demo"
        files = app.screen._list.files
        await pilot.press("g", *["j"] * files.index(run), "enter")
        await settled(app, pilot)
        assert app.sweep_screen is None
        assert app.session.path == run
        await pilot.press("b")
        await settled(app, pilot)
        await pilot.press("g", *["j"] * app.screen._list.files.index(sweep), "enter")
        await settled(app, pilot)
        assert app.sweep_screen is not None
        assert len(app.sweeps) == 1
