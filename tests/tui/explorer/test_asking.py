"""Asking another question, with a made-up engine."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input, OptionList, Static

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.results import Run
from flowtui.engine.spec import DEMO_MODEL, AttentionParameters, CamParameters
from flowtui.errors import ModelError
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.askscreen import AskScreen
from flowtui.tui.explorer.dialogs import ConfirmScreen
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.explorer.question import Question, analyses_for, spec_for
from flowtui.tui.explorer.recent import Recent, opened_run, recent, used_model
from tests.factories import png, random_run

FULL = random_run()
OTHER = random_run(seed=3, answer=("no",))
SOME = replace(FULL, analyses={name: FULL.analyses[name] for name in ("cam", "attention")})


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


def text_of(app: ExplorerApp, panel: str) -> str:
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


def values(app: ExplorerApp) -> list[str]:
    return [app.screen.query_one(f"#{name}", Input).value for name in ("question", "image", "model")]


def offered(app: ExplorerApp) -> list[str]:
    options = app.screen.query_one(OptionList)
    return [str(options.get_option_at_index(i).prompt) for i in range(options.option_count)]


async def until(pilot, condition) -> None:  # type: ignore[no-untyped-def]
    """Lets the loop turn until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():
        await pilot.pause()
        await asyncio.sleep(0.001)
    await pilot.pause()


async def open_dialog(app: ExplorerApp, pilot) -> None:  # type: ignore[no-untyped-def]
    await pilot.press("a")
    await until(pilot, lambda: isinstance(app.screen, AskScreen))
    await settled(app, pilot)


async def settled(app: ExplorerApp, pilot) -> None:  # type: ignore[no-untyped-def]
    """The suggestions are those of what is typed now."""
    await app.workers.wait_for_complete()
    await pilot.pause()


async def test_another_question_fills_in_in_a_tab_and_is_saved_beside(fake_engine, tmp_path: Path) -> None:
    path, state = tmp_path / "a.pkl", tmp_path / "state" / "explorer.json"
    write_plain(path, SOME.to_plain())
    before = path.read_bytes()
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=path, engine=engine, state_file=state)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l", "l", "m")
        await open_dialog(app, pilot)
        assert values(app) == ["What do you see in the image?", "", DEMO_MODEL]
        assert "a-2.pkl" in str(app.screen.query_one("#stays", Static).content)
        # What is marked at first is replaced by what is typed.
        await pilot.press(*"Is it", "space", *"red", "enter")
        await until(pilot, lambda: bool(engine.specs))
        assert "loading the model" in text_of(app, "status")
        assert "50 %" in text_of(app, "status")
        # The old run stays on screen, and its keys answer.
        await pilot.press("l")
        assert app.look.layer == 3
        engine.allow(1)
        await until(pilot, lambda: len(app.sessions) == 2)
        assert app.session is app.sessions[1]
        assert "Is it red" in text_of(app, "header")
        assert (app.look.layer, app.look.kind) == (3, "attention")
        assert "No attention yet." in text_of(app, "groups")
        assert text_of(app, "tabs").count("◌") == 1
        await until(pilot, lambda: (tmp_path / "a-2.pkl").exists() and bool(toasts(app)))
        assert toasts(app) == ["Answer: another. Saved as a-2.pkl."]
        engine.allow(4)
        await until(pilot, lambda: engine.sent == 4)
        assert sorted(app.facts.run.analyses["attention"].layers) == [0, 1, 2, 3]
        assert "attention layer 3/11" in text_of(app, "status")
        # Seen from the other tab it says where.
        await pilot.press("tab")
        assert app.session is app.sessions[0]
        assert "run 2: attention layer 3/11" in text_of(app, "status")
        engine.allow(100)
        await until(pilot, lambda: app.busy is None)
        assert app.facts.run is SOME
        assert "◌" not in text_of(app, "tabs")
    made = Run.from_plain(read_plain(tmp_path / "a-2.pkl"))
    assert made.spec == engine.specs[0] == replace(SOME.spec, question="Is it red", dtype="float32")
    # The analyses of the run it was asked from, and no others.
    assert engine.analyses == (AttentionParameters(), CamParameters())
    assert sorted(made.analyses) == ["attention", "cam"]
    assert not made.missing("cam")
    assert path.read_bytes() == before
    assert recent(state).models == (DEMO_MODEL,)
    assert engine.ended


async def test_what_is_typed_at_once_goes_where_it_belongs(
    fake_engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is, the folder is no disk that does not answer.
    monkeypatch.setattr("flowtui.tui.explorer.askscreen.PATIENCE_S", 60.0)
    (tmp_path / "cat.png").write_bytes(png(seed=7))
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_dialog(app, pilot)
        # No turn of the loop between two keys, as over a slow line.
        for character in f"Is it\t{tmp_path}/c\t\t":
            key = "tab" if character == "\t" else _character_to_key(character)
            app.post_message(events.Key(key, None if character == "\t" else character))
        await until(pilot, lambda: app.screen.focused is app.screen.query_one("#model"))
        assert values(app) == ["Is it", f"{tmp_path}/cat.png", "demo"]


async def test_names_in_use_are_left_alone(fake_engine, tmp_path: Path) -> None:
    (tmp_path / "a-2.pkl").write_text("mine")
    (tmp_path / "a-3.pkl").symlink_to(tmp_path / "nowhere")
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test() as pilot:
        engine.allow(1000)
        for name in ("a-4", "a-5"):
            await open_dialog(app, pilot)
            await pilot.press(*name, "enter")
            await until(pilot, lambda name=name: (tmp_path / f"{name}.pkl").exists() and app.busy is None)
        # Asked from an asked run, it is named after the first one still.
        assert [s.title for s in app.sessions[1:]] == ["a-4.pkl", "a-5.pkl"]
    assert (tmp_path / "a-2.pkl").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


async def test_another_image_with_completion(fake_engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "deep").mkdir(parents=True)
    for name in ("cat.png", "catalogue.PNG", "cat.txt", ".hidden.png"):
        (pictures / name).write_bytes(png(seed=7))
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_dialog(app, pilot)
        await pilot.press("tab")
        assert app.screen.focused is app.screen.query_one("#image")
        await pilot.press("p", "tab")
        await until(pilot, lambda: values(app)[1] == "pictures/")
        await settled(app, pilot)
        assert offered(app) == ["pictures/deep/", "pictures/cat.png", "pictures/catalogue.PNG"]
        await pilot.press("c", "tab")
        await until(pilot, lambda: values(app)[1] == "pictures/cat")
        await settled(app, pilot)
        await pilot.press("down", "down", "up", "tab")
        assert values(app)[1] == "pictures/cat.png"
        await pilot.press("enter")
        engine.allow(1000)
        await until(pilot, lambda: bool(engine.specs) and app.busy is None)
    assert engine.specs[0].images == (png(seed=7),)
    assert engine.specs[0].question == SOME.spec.question


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "There is no image"),
        (lambda p: p.write_text("no image"), "This is not an image"),
        (lambda p: p.mkdir(), "Is a directory"),
        (lambda p: os.mkfifo(p), "is not a file"),
    ],
    ids=["missing", "text", "folder", "pipe"],
)
async def test_an_image_that_cannot_be_read_is_a_toast(fake_engine, tmp_path: Path, make, says: str) -> None:
    image = tmp_path / "x\x1b]52.png"
    make(image)
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, engine=engine)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        app.screen.query_one("#image", Input).value = str(image)
        await pilot.press("enter")
        await until(pilot, lambda: bool(toasts(app)))
        assert says in toasts(app)[0]
        assert "x␛]52.png" in toasts(app)[0]
        assert isinstance(app.screen, AskScreen)
    assert not engine.specs


async def test_an_empty_question_or_model_is_not_asked(fake_engine) -> None:
    app = ExplorerApp(SOME, engine=fake_engine(OTHER))
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("space", "enter")
        await until(pilot, lambda: bool(toasts(app)))
        await pilot.press("x", "tab", "tab", "backspace", "enter")
        await until(pilot, lambda: len(toasts(app)) == 2)
        assert toasts(app) == ["The question is empty.", "The model is empty."]
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, AskScreen)
        assert app.busy is None


async def test_models_are_offered_and_a_folder_completes(fake_engine, tmp_path: Path) -> None:
    state = tmp_path / "explorer.json"
    used_model(state, "org/older")
    used_model(state, "org/model\x1b[31m")
    folder = tmp_path / "my-model"
    folder.mkdir()
    engine = fake_engine(OTHER)
    run = replace(SOME, spec=replace(SOME.spec, model="named/by-file"))
    app = ExplorerApp(run, engine=engine, state_file=state)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("shift+tab")
        await settled(app, pilot)
        assert app.screen.focused is app.screen.query_one("#model")
        assert offered(app) == ["demo", "org/model␛[31m", "org/older"]
        await pilot.press(*"org", "slash", "o", "tab")
        await until(pilot, lambda: values(app)[2] == "org/older")
        app.screen.query_one("#model", Input).value = f"{tmp_path}/my"
        app.screen.query_one("#model", Input).action_end()
        await pilot.press("tab")
        await until(pilot, lambda: values(app)[2] == f"{folder}/")
        engine.allow(1000)
        await pilot.press("enter")
        # The user typed it: no yes is needed.
        await until(pilot, lambda: bool(engine.specs) and app.busy is None)
    assert engine.specs[0].model == str(folder)
    assert (engine.specs[0].dtype, engine.specs[0].revision) == ("auto", None)
    assert recent(state).models[0] == str(folder)


async def test_the_model_that_only_the_file_names_needs_a_yes(
    fake_engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil").mkdir()
    engine = fake_engine(OTHER)
    run = replace(SOME, spec=replace(SOME.spec, model="evil", revision="refs/pr/1"))
    app = ExplorerApp(run, engine=engine)
    async with app.run_test() as pilot:
        for model in ("evil", "./evil"):
            await open_dialog(app, pilot)
            app.screen.query_one("#model", Input).value = model
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.press("n")
            await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert not engine.specs
        await open_dialog(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        assert "in revision “refs/pr/1”" in app.screen._question  # type: ignore[attr-defined]
        await pilot.press("y")
        engine.allow(1000)
        await until(pilot, lambda: bool(engine.specs) and app.busy is None)
        # Once is enough, for this revision.
        await open_dialog(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: len(engine.specs) == 2)
        await until(pilot, lambda: app.busy is None)


async def test_while_something_is_computed_it_says_so(fake_engine) -> None:
    app = ExplorerApp(replace(FULL, analyses={}), engine=fake_engine(FULL))
    async with app.run_test() as pilot:
        await pilot.press("r", "a")
        await pilot.pause()
        assert toasts(app) == ["A computation is running. Esc cancels it."]
        assert not isinstance(app.screen, AskScreen)
    app = ExplorerApp(FULL)
    async with app.run_test() as pilot:
        await pilot.press("a")
        await pilot.pause()
        assert toasts(app) == ["This explorer was opened without an engine."]


async def test_a_refusal_is_a_toast_and_leaves_nothing(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(OTHER, refuse=ModelError("No model \x1b[2J.", "Look again."))
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("enter")
        engine.allow(1)
        await until(pilot, lambda: bool(toasts(app)))
        assert toasts(app) == ["No model ␛[2J. Look again."]
        assert len(app.sessions) == 1
        assert app.busy is None
    assert not list(tmp_path.iterdir())


async def test_escape_before_and_after_the_answer(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: bool(engine.specs))
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
        assert toasts(app) == ["Cancelled. The question was not answered."]
        assert len(app.sessions) == 1
        await open_dialog(app, pilot)
        await pilot.press("enter")
        engine.allow(1 + 2)
        await until(pilot, lambda: engine.sent == 2)
        await pilot.press("w")
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
        assert "This run is being computed. Esc cancels it; then it can be closed." in toasts(app)
        assert "Cancelled. What had arrived is kept." in toasts(app)
        assert len(app.sessions) == 2
    made = Run.from_plain(read_plain(tmp_path / "a-2.pkl"))
    assert sorted(made.analyses["attention"].layers) == [0, 1]


async def test_quitting_in_the_middle_keeps_what_arrived_and_ends_the_engine(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "a.pkl", engine=engine)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("enter")
        engine.allow(1 + 3)
        await until(pilot, lambda: engine.sent == 3)
        await pilot.press("q")
        await pilot.pause()
    assert engine.ended
    assert engine.closed
    made = Run.from_plain(read_plain(tmp_path / "a-2.pkl"))
    assert sorted(made.analyses["attention"].layers) == [0, 1, 2]


async def test_a_folder_that_cannot_be_written_loses_nothing(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(OTHER)
    app = ExplorerApp(SOME, path=tmp_path / "gone" / "a.pkl", engine=engine)
    async with app.run_test() as pilot:
        await open_dialog(app, pilot)
        await pilot.press("enter")
        engine.allow(1000)
        await until(pilot, lambda: len(app.sessions) == 2 and app.busy is None)
        await until(pilot, lambda: any("was not written: No such file or directory" in t for t in toasts(app)))
        assert not app.facts.run.missing("cam")


HOSTILE = ["\x1b]52;c;ZXZpbA==\x07", "two\nlines\x00", "\x9b31mred", "left\u202eright", "[bold]x[/]", "\ud800 lone"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_in_the_dialog_steers_the_terminal(fake_engine, text: str, tmp_path: Path) -> None:
    state = tmp_path / "explorer.json"
    used_model(state, text)
    spec = replace(SOME.spec, question=text, model=text, system=text)
    engine = fake_engine(OTHER)
    app = ExplorerApp(replace(SOME, spec=spec), path=tmp_path / "a.pkl", engine=engine, state_file=state)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_dialog(app, pilot)
        for key in ("tab", "tab", "x", "backspace", "ctrl+a", "end", "down"):
            await pilot.press(key)
            await settled(app, pilot)
            for strip in app.screen._compositor.render_strips():
                assert strip.text.isprintable(), ascii(strip.text)
        await pilot.press("escape")
        await open_dialog(app, pilot)
        # And it is asked as it was.
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        engine.allow(1000)
        await until(pilot, lambda: bool(engine.specs) and app.busy is None)
    assert (engine.specs[0].question, engine.specs[0].model, engine.specs[0].system) == (text, text, text)


def test_another_model_is_asked_without_the_old_ones_pins() -> None:
    run = replace(
        FULL, model=replace(FULL.model, revision="abc", dtype="bfloat16"), spec=replace(FULL.spec, device="cuda:1")
    )
    same = spec_for(run, Question("q", None, "demo"))
    assert (same.revision, same.dtype, same.device, same.images) == ("abc", "bfloat16", "cuda:1", run.spec.images)
    other = spec_for(run, Question("q", (b"x",), "other"))
    assert (other.revision, other.dtype, other.device, other.images) == (None, "auto", "auto", (b"x",))
    given = replace(run, spec=replace(run.spec, answer="mine"))
    assert spec_for(given, Question("q", None, "demo")).answer is None
    assert len(analyses_for(replace(run, analyses={}))) == 8


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"runs": 5, "models": [1, "", "ok"]}', b"\xff"])
def test_a_broken_memory_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    state = tmp_path / "explorer.json"
    (tmp_path / "recent.json").write_bytes(content)
    assert recent(state).runs == ()
    opened_run(state, tmp_path / "a.pkl")
    assert recent(state).runs == (str(tmp_path / "a.pkl"),)
    assert recent(None) == Recent()


async def test_what_is_learnt_after_the_dialog_has_gone_is_let_go(fake_engine, monkeypatch: pytest.MonkeyPatch) -> None:
    app = ExplorerApp(SOME, engine=fake_engine(OTHER))
    dialogs: list[AskScreen] = []
    ended: list[str] = []

    async def until_gone(function, *args):  # type: ignore[no-untyped-def]
        """Comes back at the very moment at which the fields are gone and the dialog is still being taken down."""
        try:
            while not dialogs or dialogs[0].query("#stays"):
                await asyncio.sleep(0)
            ended.append("gone")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return function(*args)

    later = SimpleNamespace(**{**vars(asyncio), "to_thread": until_gone})
    monkeypatch.setattr("flowtui.tui.explorer.askscreen.asyncio", later)
    async with app.run_test() as pilot:
        await pilot.press("a")
        assert isinstance(app.screen, AskScreen)
        await pilot.pause()
        dialogs.append(app.screen)
        await pilot.press("escape")
        await until(pilot, lambda: bool(ended))
        assert not isinstance(app.screen, AskScreen)
    assert "gone" in ended
