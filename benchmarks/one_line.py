"""The least that is an application of Textual: what starting ours is measured beside."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.widgets import Static


class OneLine(App[None]):
    """One line, and Ctrl+Q quits."""

    def compose(self) -> ComposeResult:
        """The line."""
        yield Static("ctrl+q quit")


if __name__ == "__main__":
    OneLine().run()
