"""What every view beside the main one is: a panel over the whole body, with keys and a text of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.message import Message

from .facts import Facts
from .look import Look, View
from .panel import Panel

STRONGEST = 5
"""So many layers take turns as the strongest in a view."""


def next_strongest(ranked: Sequence[int], now: int) -> int:
    """The strongest, or the one after `now` where that is among the strongest.

    Args:
        ranked: The strongest first, at least one.
        now: Where the view is.
    """
    top = ranked[:STRONGEST]
    return top[(top.index(now) + 1) % len(top)] if now in top else top[0]


class LookPicked(Message):
    """Something was pointed at.

    Attributes:
        look: The look with that chosen.
    """

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class ViewPanel(Panel):
    """A panel that fills the body while its view is chosen. Subclasses say what they need beyond `draw`.

    Attributes:
        view: Its name in `Look`.
        title: Its name on screen.
        reading: How to read it, for the help screen: sentences.
        hints: Ids of the bindings that matter most here, the first before those of every view.
        hint_words: Words of its own for some of them on the last line, by id.
    """

    view: ClassVar[View]
    title: ClassVar[str]
    reading: ClassVar[str]
    hints: ClassVar[tuple[str, ...]] = ()
    hint_words: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        super().__init__(id=f"view-{self.view}")

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """The look after moving down by `rows` (up if negative)."""
        return look

    def turn(self, look: Look, facts: Facts) -> Look:
        """The look after turning to the other side of the view, where it has one."""
        return look

    def strongest(self, look: Look, facts: Facts) -> Look:
        """The look after going to the strongest there is, or from there to the next."""
        return look

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The look after opening what is chosen."""
        return look

    def norm(self, look: Look) -> Look:
        """The look with the next normalisation: of the shares, where the view has none of its own."""
        return look.next_norm()
