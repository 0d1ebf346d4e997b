"""Text from models, questions and files is shown, never obeyed."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Static

from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.panel import Panel
from tests.factories import random_run

HOSTILE = [
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b[2J\x1b[31mred",
    "\x9b31mred\x9d52;c;AA\x9c",
    "left\u202eright\u2066",
    "two\nlines\tand\rmore\x00",
    "[bold red]markup[/] [@click=app.quit]x[/]",
    "\ud800 lone",
]


def hostile_run(text: str) -> Run:
    run = random_run(answer=(text, "red", text), cliff=None)
    truncation = run.analyses["truncation"]
    layers = {k: replace(v, text=text) for k, v in truncation.layers.items()}
    return replace(
        run,
        spec=replace(run.spec, question=f"what {text}", model=text),
        model=replace(run.model, name=text, family=text),
        analyses={**run.analyses, "truncation": replace(truncation, layers=layers)},
    )


def assert_harmless(text: str) -> None:
    assert text.replace("\n", "").isprintable(), ascii(text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("keys", [[], ["right_square_bracket"], ["v"]])
async def test_every_panel(text: str, keys: list[str]) -> None:
    name = text.replace("/", "").replace("\x00", "")
    app = ExplorerApp(hostile_run(text), path=None if "\ud800" in name else Path(name))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        for panel in app.query(Panel):
            for strip in panel._lines:
                assert_harmless(strip.text)
        # And what leaves for the terminal, past every layer in between.
        for strip in app.screen._compositor.render_strips():
            assert_harmless(strip.text)
        if "markup" in text:
            assert "[bold red]" in "".join(strip.text for strip in app.query_one("#header", Panel)._lines)


@pytest.mark.parametrize("text", HOSTILE)
async def test_toasts_title_help_and_clipboard(text: str) -> None:
    app = ExplorerApp(hostile_run(text))
    async with app.run_test(size=(120, 60)) as pilot:
        app.notify(text, title=text)
        app.notify(str(FlowtuiError(text, text)), severity="error", markup=True)
        for note in app._notifications:
            assert_harmless(note.message)
            assert_harmless(note.title)
            assert not note.markup
        await pilot.press("y")
        assert_harmless(app.clipboard)
        base64.b64encode(app.clipboard.encode())
        assert app.title == "flowtui"
        await pilot.press("question_mark")
        await pilot.pause()
        for static in app.screen.query(Static):
            assert_harmless(str(static.content).replace("\n", ""))
