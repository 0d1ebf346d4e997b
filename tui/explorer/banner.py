"""A line across the window that stays: what is wrong with the engine, and what becomes of it."""

from __future__ import annotations

from textual.app import App
from textual.message import Message
from textual.widgets import Static

from flowtui.errors import FlowtuiError
from flowtui.tui.text import visible


class EngineLost(Message):
    """The engine went away unasked.

    Attributes:
        error: Why.
    """

    def __init__(self, error: FlowtuiError) -> None:
        super().__init__()
        self.error = error


class Banner(Static):
    """One text, over all panels, for as long as it is true."""

    DEFAULT_CSS = """
    Banner {
        dock: top;
        width: 100%;
        height: auto;
        max-height: 3;
        padding: 0 1;
        background: $error;
        color: $text;
    }
    """


def show_banner(app: App[None], text: str) -> None:
    """Shows a text on the first screen, or takes it away with ""; whatever it holds is shown and not obeyed."""
    # The panels live on the first screen; a dialog may lie over it.
    screen = app.screen_stack[0]
    there = screen.query(Banner)
    if text and there:
        there.first().update(visible(text))
    elif text:
        screen.mount(Banner(visible(text), markup=False), before=0)
    else:
        there.remove()
