"""The dialog that asks: a question, an image, a model, each with what it can be completed to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from flowtui.engine.results import Run
from flowtui.errors import FlowtuiError
from flowtui.tui.text import visible

from .completion import IMAGE_SUFFIXES, common, models_for, paths_for
from .question import Question, full_name, known_models, read_image
from .safeinput import SafeInput

LABELS = {"question": "Question", "image": "Image", "model": "Model"}
MAX_QUESTIONS = 50
PATIENCE_S = 0.3
"""How long a completion may take; after that its names are only offered when they come."""


class AskScreen(ModalScreen[Question | None]):
    """Closes with the question, or None.

    Args:
        run: The run it is asked from.
        questions: Asked before, the latest first.
        local: Whether the engine is on this machine, and sees its folders.
        about: Tells the models used before, the latest first, and where the new run will be written, in words. Called
            in a thread: it reads files.
    """

    # With priority, they are obeyed before the letters typed after them; `_settled` waits for those typed before.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "close", id="ask.close"),
        Binding("tab", "complete", "complete, or next field", id="ask.complete", priority=True),
        Binding("shift+tab", "back", "previous field", id="ask.previous", priority=True),
        Binding("down", "choose(1)", "next suggestion", id="ask.down", priority=True),
        Binding("up", "choose(-1)", "previous suggestion", id="ask.up", priority=True),
    ]

    AUTO_FOCUS = "#question"

    def __init__(
        self, run: Run, questions: Sequence[str], about: Callable[[], tuple[Sequence[str], str]], *, local: bool
    ) -> None:
        super().__init__()
        self._run = run
        self._questions = list(dict.fromkeys(questions))[:MAX_QUESTIONS]
        self._models = known_models(run, ())
        self._local = local
        self._about = about
        self._options: list[str] = []
        self._checking = False

    def compose(self) -> ComposeResult:
        """Three lines to type in, what stays the same, and the suggestions."""
        images = len(self._run.spec.images)
        same = "the image of this run" if images == 1 else f"the {images} images of this run"
        values = {"question": self._run.spec.question, "image": "", "model": self._run.spec.model}
        with Vertical(id="ask") as box:
            box.border_title = "Ask"
            box.border_subtitle = "Enter asks · Tab completes · ↑ ↓ suggestions · Esc closes"
            for name, label in LABELS.items():
                with Horizontal(classes="field"):
                    yield Static(Text(label, "bold"), markup=False, classes="label")
                    yield SafeInput(values[name], placeholder=same if name == "image" else "", id=name, compact=True)
            yield Static(Text(self._stays("…")), markup=False, id="stays")
            options = OptionList(id="options")
            options.can_focus = False
            yield options

    def _stays(self, place: str) -> str:
        system = self._run.spec.system
        kept = f"System prompt: {visible(system)}\n" if system else ""
        return f"{kept}The new run gets the same analyses, {place}"

    @property
    def _gone(self) -> bool:
        """Whether the dialog has been closed. Its fields go before its workers do."""
        return self not in self.app.screen_stack

    def on_mount(self) -> None:
        """The dialog is there at once; what lies in files comes after."""
        self._learn()

    @work(group="learn")
    async def _learn(self) -> None:
        models, place = await asyncio.to_thread(self._about)
        if self._gone:
            return
        self._models = known_models(self._run, models)
        self.query_one("#stays", Static).update(Text(self._stays(place)))
        self._suggest()

    def on_descendant_focus(self) -> None:
        """Another field, other suggestions."""
        self._suggest()

    def on_input_changed(self) -> None:
        """Suggests what the text can become."""
        self._suggest()

    def _suggest(self) -> None:
        field = self.focused
        if isinstance(field, Input):
            self._look_up(field)

    @work(group="suggest", exclusive=True)
    async def _look_up(self, field: Input) -> None:
        text = field.value
        # A folder may lie on a slow disk.
        found = await asyncio.to_thread(self._find, str(field.id), text)
        if not self._gone and self.focused is field and field.value == text:
            self._offer(found)

    def _find(self, name: str, text: str) -> list[str]:
        if name == "image":
            return paths_for(text, IMAGE_SUFFIXES)
        if name == "model":
            # The name that is there from the start is no beginning of another: all are offered.
            typed = "" if text == self._run.spec.model else text
            return [m for m in models_for(typed, self._models, folders=self._local) if m != text]
        typed = "" if text == self._run.spec.question else text
        return [q for q in self._questions if q.startswith(typed) and q != text]

    def _offer(self, found: list[str]) -> None:
        options = self.query_one(OptionList)
        self._options = found
        options.clear_options()
        options.add_options([Option(Content(visible(text))) for text in found])
        options.highlighted = None
        options.display = bool(found)

    def action_choose(self, step: int) -> None:
        """Goes through the suggestions."""
        options = self.query_one(OptionList)
        if self._options:
            options.action_cursor_down() if step > 0 else options.action_cursor_up()

    async def action_complete(self) -> None:
        """Takes the suggestion, or as much as all of them share; with nothing to add, the next field."""
        field = await self._settled()
        if field is None or self._take():
            return
        if field.id == "question":
            self.focus_next()
            return
        before = field.value
        looking = asyncio.ensure_future(asyncio.to_thread(self._find, str(field.id), before))
        # The keys wait meanwhile, but not for a disk that does not answer.
        if (await asyncio.wait((looking,), timeout=PATIENCE_S))[0]:
            more = common([text for text in looking.result() if text.startswith(before)])
            if len(more) > len(before):
                self._fill(field, more)
            else:
                self.focus_next()

    async def action_back(self) -> None:
        """The previous field."""
        await self._settled()
        self.focus_previous()

    async def _settled(self) -> Input | None:
        """The field that has the focus, once it has taken in the letters that are on their way to it."""
        field = self.focused
        if not isinstance(field, Input):
            return None
        arrived = asyncio.Event()
        field.call_later(arrived.set)
        await arrived.wait()
        return field

    def _take(self) -> bool:
        """Puts the marked suggestion into the field, where one is marked."""
        marked, field = self.query_one(OptionList).highlighted, self.focused
        if marked is None or marked >= len(self._options) or not isinstance(field, Input):
            return False
        self._fill(field, self._options[marked])
        return True

    def _fill(self, field: Input, text: str) -> None:
        field.value = text
        field.action_end()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on a suggestion."""
        self._take()

    def on_input_submitted(self) -> None:
        """Takes the marked suggestion; with none, asks."""
        if not self._take() and not self._checking:
            self._checking = True
            self._check()

    @work(group="check")
    async def _check(self) -> None:
        """Reads the image and closes; what is wrong is said, and the dialog stays."""
        own = self._run.spec
        text, image, model = (self.query_one(f"#{name}", Input).value for name in LABELS)
        text, image = text if text == own.question else text.strip(), image.strip()
        model = model if model == own.model else model.strip()
        try:
            if not text.strip() or not model:
                self.app.notify(f"The {'model' if text.strip() else 'question'} is empty.", severity="warning")
                return
            images = (await asyncio.to_thread(read_image, image),) if image else None
            # What the run's file names is taken as it stands: under another name it would need no yes.
            other = self._local and model != own.model
            named = await asyncio.to_thread(full_name, model) if other else model
            if not self._gone:
                self.dismiss(Question(text, images, named))
        except FlowtuiError as error:
            self.app.notify(str(error), severity="error", timeout=12)
        finally:
            self._checking = False
