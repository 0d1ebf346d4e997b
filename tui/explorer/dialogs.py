"""Screens over the explorer: help, a yes-or-no question, and what to export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from flowtui.engine.cliff import describe_rule
from flowtui.engine.results import Run
from flowtui.tui.text import visible

from .bindings import SECTIONS
from .view import ViewPanel

READING = f"""\
Layers count from 0. K is the number of leading layers that see the image; the mark at K is the current layer: the \
first one that no longer sees it. K = 0 never sees the image, the last K is the untouched model.
LLaVA-CAM: gradient-weighted activations of the image tokens, positive part, each layer divided by its own maximum.
Attention map: head-mean attention from the answer row to the image tokens, in percent of that row.
Saliency map: attention at the answer row times what the answer's loss changes with it, heads summed.
Attention share: attention from the answer rows to each token group, mean over heads.
{describe_rule()}"""


class HelpScreen(ModalScreen[None]):
    """A text that scrolls: keys, how to read the panels, and what is shown in full.

    Args:
        text: All of it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "close", id="help.close"),
        Binding("j", "scroll(1)", "down", id="help.down"),
        Binding("k", "scroll(-1)", "up", id="help.up"),
    ]

    def __init__(self, text: Text) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        with VerticalScroll(id="help") as box:
            box.border_title = "flowtui help"
            box.border_subtitle = "Esc closes, j k scroll"
            yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Arrow and page keys scroll."""
        self.query_one("#help").focus()

    def action_scroll(self, lines: int) -> None:
        """Scrolls by lines."""
        self.query_one("#help").scroll_relative(y=lines, animate=False)


def help_text(run: Run, keys: Mapping[str, list[str]], view: ViewPanel | None = None) -> Text:
    """The help, as text without markup; the view that it was asked from comes first."""
    text = Text()
    if view is not None:
        text.append(f"This view: {view.title}\n", "bold underline").append(f"{view.reading}\n")
        every = {binding.id: binding.description for section in SECTIONS.values() for binding in section}
        for id in view.hints:
            text.append(f"  {' '.join(keys.get(id, [])):<12}", "bold").append(f"  {every[id]}\n")
        text.append("\n")
    append_keys(text, SECTIONS, keys)
    text.append("How to read it\n", "bold underline").append(f"{READING}\n\n")
    text.append("This run\n", "bold underline")
    model = run.model
    for name, value in (
        (
            "model",
            f"{model.name} ({model.family}, {model.layers} layers, {model.heads} heads, {model.dtype}, {model.device})",
        ),
        ("question", run.spec.question),
        ("answer", run.answer.text),
        ("tokens", f"{len(run.tokens.ids)} in all, {len(run.tokens.image_positions)} of the image"),
    ):
        text.append(f"  {name:<10}", "bold").append(f"{visible(value)}\n")
    return text


def append_keys(text: Text, sections: Mapping[str, Sequence[Binding]], keys: Mapping[str, list[str]]) -> None:
    """Adds every key with what it does."""
    for section, bindings in sections.items():
        text.append(f"{section}\n", "bold underline")
        for binding in bindings:
            shown = " ".join(keys.get(binding.id or "", []))
            text.append(f"  {shown:<12}", "bold").append(f"  {binding.description}\n")
        text.append("\n")


class ConfirmScreen(ModalScreen[bool]):
    """A question with yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "yes", id="confirm.yes"),
        Binding("n,escape,q", "answer(False)", "no", id="confirm.no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical(id="confirm"):
            yield Static(Text(self._question), markup=False)
            yield Static(Text("y yes   n no", "bold"), markup=False)

    def action_answer(self, yes: bool) -> None:
        """Closes with the answer."""
        self.dismiss(yes)


class ExportScreen(ModalScreen[int | None]):
    """A choice of what to write; closes with its index.

    Args:
        folder: Where to.
        titles: What there is to choose from.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "close", id="export.close"),
        Binding("j", "move('down')", "down", id="export.down"),
        Binding("k", "move('up')", "up", id="export.up"),
    ]

    def __init__(self, folder: str, titles: Sequence[str]) -> None:
        super().__init__()
        self._folder = folder
        self._titles = titles

    def compose(self) -> ComposeResult:
        """The list."""
        with Vertical(id="export"):
            yield Static(Text(f"Export into {visible(self._folder)}", "bold"), markup=False)
            yield OptionList(*(Option(Content(title)) for title in self._titles))

    def on_mount(self) -> None:
        """The list takes the keys."""
        self.query_one(OptionList).focus()

    def action_move(self, way: str) -> None:
        """Moves in the list."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if way == "down" else options.action_cursor_up()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Closes with the choice."""
        self.dismiss(event.option_index)
