"""Every binding, through Textual's own pilot."""

import json
import os
from pathlib import Path

import pytest
from textual.widgets import OptionList

from flowtui.engine.results import Run
from flowtui.tui.config import Config
from flowtui.tui.draw.graphics import choose, make_graphics
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.bindings import SECTIONS
from flowtui.tui.explorer.dialogs import ExportScreen, HelpScreen, help_text
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.view import ViewPanel
from flowtui.tui.explorer.views import PANELS, panel_of
from tests.factories import random_run

LONG = random_run(layers=32, heads=2, cliff=18)
SHORT = random_run(layers=12)


def text_of(app: ExplorerApp, panel: str) -> str:
    """What a panel shows."""
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


async def press(app: ExplorerApp, *keys: str, size: tuple[int, int] = (120, 40)) -> dict[str, str]:
    """Presses keys in an application of its own; returns what each panel shows then."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        return {str(panel.id): text_of(app, str(panel.id)) for panel in app.query(Panel)} if app.is_running else {}


@pytest.mark.parametrize(
    ("keys", "layer"),
    [
        ("l", 1), ("right", 1), ("l l l h", 2), ("l left", 0), ("h", 0), ("L", 10), ("shift+right", 10),
        ("L L L L", 31), ("L H", 0), ("L shift+left", 0), ("G", 31), ("end", 31), ("G l", 31), ("G g", 0),
        ("G home", 0), ("c", 18), ("c L H H", 8),
    ],
)  # fmt: skip
async def test_keys_move_the_layer_and_every_panel_follows(keys: str, layer: int) -> None:
    app = ExplorerApp(LONG)
    shown = await press(app, *keys.split())
    assert app.look.layer == layer
    assert f"layer {layer}/31" in shown["map"]
    assert f"layer {layer}/31" in shown["groups"]
    assert f"K {layer}:" in shown["curve"]
    assert "▲" in shown["scrubber"]


@pytest.mark.parametrize(
    ("keys", "look"),
    [
        ("right_square_bracket", Look(token=0)),
        ("right_square_bracket right_square_bracket right_square_bracket", Look(token=2)),
        ("right_square_bracket right_square_bracket right_square_bracket right_square_bracket", Look(token=None)),
        ("left_square_bracket", Look(token=2)),
        ("m", Look(kind="attention")),
        ("m m", Look(kind="saliency")),
        ("m m m", Look(kind="cam")),
        ("o", Look(opacity=100)),
        ("o o", Look(opacity=0)),
        ("n", Look(norm="paper")),
        ("n n", Look(norm="no-sink")),
        ("n n n n", Look(norm="all")),
        ("v", Look(view="grid")),
        ("v V", Look(view="main")),
        ("v l l enter", Look(view="main", layer=2)),
        ("j down k up", Look()),
    ],
)
async def test_keys_change_what_is_shown(keys: str, look: Look) -> None:
    app = ExplorerApp(SHORT)
    await press(app, *keys.split())
    assert app.look == look


async def test_the_token_drives_answer_map_and_shares() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        before = text_of(app, "groups")
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert "token 1/2" in text_of(app, "header")
        assert "token 1" in text_of(app, "map")
        shares = SHORT.analyses["attention"].layers[0].arrays["share"][1].mean(axis=0)
        assert text_of(app, "groups") != before
        for share in shares:
            assert f"{100 * share:.1f} %" in text_of(app, "groups")


async def test_grid_rows() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("v")
        await pilot.pause()
        await pilot.press("j")
        assert app.look.layer == 6
        await pilot.press("down")
        assert app.look.layer == 6
        await pilot.press("l", "up")
        assert app.look.layer == 1
        assert "every layer" in text_of(app, "view-grid")


async def test_the_grid_pages_where_it_must() -> None:
    app = ExplorerApp(LONG)
    async with app.run_test(size=(40, 14)) as pilot:
        await pilot.press("v", "G")
        await pilot.pause()
        assert "31" in text_of(app, "view-grid")


async def test_play_steps_wraps_and_stops() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test() as pilot:
        await pilot.press("G", "space")
        assert app.playing
        app.play_on()
        assert app.look.layer == 0
        await pilot.press("space")
        assert not app.playing


async def test_clicks_pick_a_layer() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.click("#scrubber", offset=(1 + 13 + 5 * 4, 0))
        await pilot.pause()
        assert app.look.layer == 4
        await pilot.press("v")
        await pilot.pause()
        await pilot.click("#view-grid", offset=(1 + 13, 2))
        await pilot.pause()
        assert app.look.layer == 1


async def test_copy_puts_the_layer_on_the_clipboard() -> None:
    app = ExplorerApp(SHORT)
    await press(app, "l", "y")
    assert app.clipboard.startswith("demo, layer 1/11, all answer tokens\n")
    assert "attention share (all groups = 100 %): system " in app.clipboard
    assert "cliff: K = 7" in app.clipboard


async def test_export_writes_and_says_so(tmp_path: Path) -> None:
    app = ExplorerApp(SHORT, path=tmp_path / "a run.pkl")
    async with app.run_test() as pilot:
        await pilot.press("e")
        await pilot.pause()
        assert isinstance(app.screen, ExportScreen)
        await pilot.press("j", "j", "j", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
    made = tmp_path / "a run-export"
    assert json.loads((made / "truncation.json").read_text())["k"] == list(range(13))
    assert toasts(app) == [f"{len(list(made.iterdir()))} files written to {made}."]


@pytest.mark.parametrize(("row", "names"), [(5, ["main-1.png", "main-2.png"]), (6, ["main-1.svg", "main-2.svg"])])
async def test_the_screen_is_exported_as_often_as_asked(tmp_path: Path, row: int, names: list[str]) -> None:
    app = ExplorerApp(SHORT, path=tmp_path / "run.pkl")
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in names:
            await pilot.press("e", *["j"] * row, "enter")
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()
    made = tmp_path / "run-export"
    assert sorted(path.name for path in made.iterdir()) == names
    assert toasts(app) == [f"{name} written to {made}." for name in names]


async def test_figures_are_exported(tmp_path: Path) -> None:
    app = ExplorerApp(SHORT, path=tmp_path / "run.pkl")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("e", *["j"] * 4, "enter")
        await pilot.pause()
        await app.workers.wait_for_complete()
        await pilot.pause()
    figure = tmp_path / "run-export" / "figure-2a.pdf"
    assert b"flowtui export run.pkl --figure all --format pdf -o run-export" in figure.read_bytes()
    assert figure.with_suffix(".csv").exists()


async def test_export_can_be_left_and_says_what_is_missing() -> None:
    app = ExplorerApp(random_run(analyses=()))
    async with app.run_test() as pilot:
        await pilot.press("e", "escape")
        assert not isinstance(app.screen, ExportScreen)
        await pilot.press("e")
        await pilot.pause()
        app.screen.query_one(OptionList).action_select()
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
    assert "There is nothing of that yet. Press r to compute it." in toasts(app)


async def test_help_lists_every_binding_and_closes() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test(size=(100, 50)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("j", "k", "q")
        await pilot.pause()
        assert not isinstance(app.screen, HelpScreen)
        assert app.is_running


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_it_quits(key: str) -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test() as pilot:
        await pilot.press(key)
        await pilot.pause()
    assert app.return_code == 0


def test_every_binding_has_its_own_id() -> None:
    ids = [binding.id for section in SECTIONS.values() for binding in section]
    assert None not in ids
    assert len(set(ids)) == len(ids)


async def test_keys_can_be_remapped_and_are_shown_as_they_are() -> None:
    app = ExplorerApp(SHORT, config=Config(keys={"layer.next": "f5", "help": "f2"}))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("f5", "f5", "l")
        assert app.look.layer == 2
        assert "h/f5 layer" in text_of(app, "status")
        await pilot.press("f2")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_the_palette_has_every_action_and_every_layer() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test() as pilot:
        titles = [command.title.lower() for command in app.get_system_commands(app.screen)]
        for section in SECTIONS.values():
            for binding in section:
                assert binding.description.lower() in titles or binding.id == "palette"
        assert {f"go to layer {n}" for n in range(12)} <= set(titles)
        for command in app.get_system_commands(app.screen):
            if command.title == "Go to layer 9":
                await command.callback()
        assert app.look.layer == 9
        await pilot.press("ctrl+p")
        await pilot.pause()
        await pilot.press(*"layer 11")
        await app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert app.look.layer == 11


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (60, 20), (80, 24), (120, 40), (250, 70)])
@pytest.mark.parametrize("run", [LONG, random_run(analyses=())], ids=["whole", "empty"])
async def test_no_size_breaks_it(size: tuple[int, int], run: Run) -> None:
    app = ExplorerApp(run)
    async with app.run_test(size=size) as pilot:
        for keys in (["G"], ["m", "right_square_bracket"], ["v"], ["v", "g"]):
            await pilot.press(*keys)
            await pilot.pause()
            for panel in app.query(Panel):
                if panel.display and panel.size:
                    assert [strip.cell_length for strip in panel._lines] == [panel.size.width] * panel.size.height
                    assert panel.region in app.screen.region or size[0] < 40


@pytest.mark.parametrize("before", [(80, 24), (250, 70)])
async def test_a_resize_lays_out_as_a_start_at_that_size_does(before: tuple[int, int]) -> None:
    async def widths(first: tuple[int, int], then: tuple[int, int]) -> dict[str, tuple[int, int]]:
        app = ExplorerApp(SHORT)
        async with app.run_test(size=first) as pilot:
            await pilot.pause()
            if then != first:
                await pilot.resize_terminal(*then)
                await pilot.pause()
            return {str(panel.id): panel.size for panel in app.query(Panel) if panel.display}

    assert await widths(before, (120, 40)) == await widths((120, 40), (120, 40))


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (250, 70)])
async def test_legends_units_and_rule_are_there_at_every_size(size: tuple[int, int]) -> None:
    app = ExplorerApp(SHORT)
    shown = await press(app, "l", size=size)
    assert "100 %" in shown["groups"]
    assert shown["groups"].count(" %") >= 5
    assert "nats" in shown["curve"]
    assert "cliff K 7" in shown["curve"]
    assert "KL ≤ 0.05 nats" in shown["curve"] or "at or below 0.05 nats" in " ".join(shown["curve"].split())
    assert shown["map"].splitlines()[-1].startswith("0 ")
    for panel in ("header", "groups", "curve", "scrubber", "status"):
        assert "…" not in shown[panel]


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_the_last_layers_zero_is_explained(size: tuple[int, int]) -> None:
    app = ExplorerApp(SHORT)
    shown = await press(app, "G", size=size)
    text = " ".join(line.strip() for line in shown["map"].splitlines())
    assert "Exactly zero: after the last attention no image token has a path to the answer." in text
    assert "CAM at the input" in text
    assert "▀" in text


async def test_missing_analyses_say_what_and_which_key() -> None:
    app = ExplorerApp(random_run(analyses=()))
    shown = await press(app, "c")
    assert "No CAM yet. Press r" in shown["map"]
    assert "No attention yet. Press r" in shown["groups"]
    assert "No truncation curve yet. Press r" in shown["curve"]
    assert "The cliff needs the whole truncation curve." in toasts(app)[0]


async def test_no_cliff_says_so_with_the_rule() -> None:
    app = ExplorerApp(random_run(cliff=None))
    shown = await press(app, "l", "c")
    assert app.look.layer == 1
    assert "no cliff" in shown["curve"]
    assert toasts(app)[0].startswith("No cliff in this run. The smallest K below L")


async def test_the_view_comes_back(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "explorer.json"
    await press(ExplorerApp(SHORT, state_file=state), "l", "l", "m", "right_square_bracket", "q")
    again = ExplorerApp(SHORT, state_file=state)
    assert again.look == Look(layer=2, kind="attention", token=0)
    assert ExplorerApp(random_run(answer=("no",)), state_file=state).look == Look()


async def test_without_colours_it_runs_and_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = ExplorerApp(SHORT, graphics=make_graphics(choose("auto", "it", os.environ)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("l", "v", "V", "question_mark", "escape")
        await pilot.pause()
        assert app.no_color
        hottest = max(text_of(app, "map").splitlines()[1:-1], key=lambda row: row.count("@"))
        assert "@@" in hottest
        assert " ." in hottest or ". " in hottest


async def test_a_theme_change_reaches_the_ink() -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test() as pilot:
        app.theme = "textual-light"
        await pilot.pause()
        assert not app._ink.dark
        app.theme = "ansi-dark"
        await pilot.pause()
        await pilot.press("l")


@pytest.mark.parametrize("view", [panel_of(name) for name in PANELS])
async def test_help_explains_the_view_it_was_asked_from(view: type[ViewPanel]) -> None:
    app = ExplorerApp(SHORT)
    async with app.run_test() as pilot:
        app.action_show(view.view)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        shown = help_text(SHORT, app.keys(), app._view).plain
        assert shown.startswith(f"This view: {view.title}\n{view.reading}\n")
        descriptions = {b.id: b.description for section in SECTIONS.values() for b in section}
        head = shown.split("\n\n")[0]
        assert all(descriptions[id] in head for id in view.hints)
