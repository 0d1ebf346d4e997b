"""An item of a sweep becomes a run."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.cache.runfile import read_plain
from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError, UsageError
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.dialogs import ConfirmScreen
from flowtui.tui.explorer.itemasking import run_file
from flowtui.tui.explorer.itemspec import item_spec
from flowtui.tui.explorer.opensweep import OpenSweep
from flowtui.tui.explorer.sweepfacts import SweepFacts
from flowtui.tui.explorer.sweeplook import SweepLook
from tests.factories import png, random_run, random_sweep
from tests.tui.explorer.sweeps import found_facts, screen_text

FULL = random_run()


def demo_sweep(seed: int = 0):  # type: ignore[no-untyped-def]
    """A made-up sweep of real items of the demo world."""
    made = random_sweep(items=20, curves=(("all", 0),))
    items = open_demo(20, seed).items
    swept = tuple(
        replace(one, id=i.id, image=i.image, cluster=i.cluster, prompt=i.prompt, kind=i.kind)
        for one, i in zip(made.items, items, strict=True)
    )
    options = {"dataset": {"seed": seed, "limit": 20}, "max_new_tokens": 16}
    return replace(made, items=swept, options=options)


SWEEP = demo_sweep()


def toasts(app: ExplorerApp) -> list[str]:
    return [note.message for note in app._notifications]


async def until(pilot, condition) -> None:  # type: ignore[no-untyped-def]
    """Lets the loop turn until the condition holds; the test's own time limit ends a vain wait."""
    while not condition():
        await pilot.pause()
        await asyncio.sleep(0.001)
    await pilot.pause()


def explorer(sweep, path: Path, engine, look: SweepLook = SweepLook(which="all")) -> ExplorerApp:  # type: ignore[no-untyped-def] # noqa: B008
    app = ExplorerApp(sweep, path=path, engine=engine)
    app.sweeps[0].facts, app.sweeps[0].look = found_facts(sweep), look
    return app


async def test_enter_asks_the_item_and_opens_it_in_a_tab(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(FULL)
    app = explorer(SWEEP, tmp_path / "s.pkl", engine, SweepLook(k=3, which="all", item=4))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: app.busy is not None and app.busy.fraction is not None)
        # Keys are answered, and the last line tells how far it is.
        assert "50 %" in screen_text(app).splitlines()[-1]
        await pilot.press("l")
        assert "K 4:" in screen_text(app)
        engine.allow(1000)
        await until(pilot, lambda: app.sweep_screen is None and app.busy is None)
        (spec,) = engine.specs
        dataset = open_demo(20, 0)
        assert (spec.question, spec.images) == (dataset.items[4].prompt, (dataset.image_bytes(dataset.items[4]),))
        assert (spec.model, spec.max_new_tokens, spec.dtype) == ("demo", 16, "float32")
        # All analyses, at the layer of the K that was looked at.
        assert {request.analysis for request in engine.requests} == set(FULL.analyses)
        assert app.look.layer == 3
        path = tmp_path / f"s-{SWEEP.items[4].id}.pkl"
        assert app.session.path == path
        assert Run.from_plain(read_plain(path)).spec == spec
        assert f"Saved as {path.name}." in toasts(app)[-1]
        # Back, and to the same item once more: it is open already.
        await pilot.press("S")
        await pilot.pause()
        assert "K 4:" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert app.sweep_screen is None
        assert len(app.sessions) == 1
        await pilot.press("S")
        await pilot.pause()
        await pilot.press("j", "enter")
        await until(pilot, lambda: len(app.sessions) == 2 and app.busy is None)
        assert app.session.path == tmp_path / f"s-{SWEEP.items[5].id}.pkl"


async def test_a_name_in_use_is_left_alone(fake_engine, tmp_path: Path) -> None:
    taken = tmp_path / f"s-{SWEEP.items[0].id}.pkl"
    taken.write_text("mine")
    engine = fake_engine(FULL)
    engine.allow(1000)
    app = explorer(SWEEP, tmp_path / "s.pkl", engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: bool(app.sessions) and app.session.path is not None and app.busy is None)
        assert app.session.path == tmp_path / f"s-{SWEEP.items[0].id}-2.pkl"
    assert taken.read_text() == "mine"


async def test_escape_cancels_and_the_sweep_stays(fake_engine, tmp_path: Path) -> None:
    app = explorer(SWEEP, tmp_path / "s.pkl", fake_engine(FULL))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: app.busy is not None)
        await pilot.press("enter")
        await until(pilot, lambda: "A computation is running. Esc cancels it." in toasts(app))
        await pilot.press("escape")
        await until(pilot, lambda: app.busy is None)
        assert "Cancelled." in toasts(app)[-1]
        assert app.sweep_screen is not None
        assert app.sessions == []


async def test_a_failure_is_a_toast(fake_engine, tmp_path: Path) -> None:
    engine = fake_engine(FULL)
    engine.refuse = FlowtuiError("Out of memory.", "Use another device.")
    engine.allow(1)
    app = explorer(SWEEP, tmp_path / "s.pkl", engine)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: bool(toasts(app)) and app.busy is None)
        assert "Out of memory." in toasts(app)[-1]
        await pilot.press("l")
        assert "K 1:" in screen_text(app)


async def test_a_model_that_only_the_file_names_needs_a_yes(fake_engine, tmp_path: Path) -> None:
    sweep = replace(SWEEP, model=replace(SWEEP.model, name="someone/model"))
    engine = fake_engine(FULL)
    app = explorer(sweep, tmp_path / "s.pkl", engine)
    async with app.run_test(size=(80, 24)) as pilot:
        for key, asked in (("n", 0), ("y", 1)):
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.press(key)
            await pilot.pause()
            await until(pilot, lambda asked=asked: len(engine.specs) == asked)
        assert engine.specs[0].model == "someone/model"


async def test_nothing_listed_and_no_engine_are_said(tmp_path: Path) -> None:
    app = explorer(SWEEP, tmp_path / "s.pkl", None, SweepLook(k=12))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")
        assert toasts(app)[-1].startswith("No item is listed here.")
        await pilot.press("V", "enter")
        await pilot.pause()
        assert "without an engine" in toasts(app)[-1]


def test_images_come_from_the_data_sets_own_folder(tmp_path: Path) -> None:
    sweep = replace(random_sweep(items=20), dataset="pope")
    with pytest.raises(UsageError, match="holds no images") as caught:
        item_spec(sweep, 0, None)
    assert "--images" in caught.value.hint
    with pytest.raises(UsageError, match="no image, so there is no run"):
        item_spec(sweep, 9, tmp_path)
    with pytest.raises(UsageError, match="There is no image"):
        item_spec(sweep, 0, tmp_path)
    (tmp_path / "val2014").mkdir()
    (tmp_path / "val2014" / "image-0.png").write_bytes(png())
    assert item_spec(sweep, 0, tmp_path).images == (png(),)
    outside = replace(sweep.items[0], image="../secret.png")
    (tmp_path / "secret.png").write_bytes(png())
    with pytest.raises(UsageError, match="no name of an image"):
        item_spec(replace(sweep, items=(outside, *sweep.items[1:])), 0, tmp_path / "val2014")


def test_a_demo_sweep_of_another_world_is_told() -> None:
    for options in ({}, {"dataset": {"seed": "x"}}, {"dataset": {"seed": 1}}, {"dataset": {"kinds": ["nothing"]}}):
        if options:
            with pytest.raises(UsageError, match="demo world"):
                item_spec(replace(SWEEP, options=options), 3, None)
        else:
            assert item_spec(replace(SWEEP, options=options), 3, None).max_new_tokens == 64


def test_run_files_are_named_after_sweep_and_item() -> None:
    odd = replace(SWEEP.items[0], id="../a b/c?" + "x" * 99)
    facts = SweepFacts(replace(SWEEP, items=(odd, *SWEEP.items[1:])))
    name = run_file(OpenSweep(facts, Path("/data/pope.pkl")), 0)
    assert name.parent == Path("/data")
    assert name.name.startswith("pope-a-b-c-x")
    assert len(name.name) < 80
    assert run_file(OpenSweep(facts, None), 1).name.startswith("sweep-")
