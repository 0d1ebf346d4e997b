"""Model, question and answer, with the current answer token marked."""

from __future__ import annotations

from rich.cells import cell_len
from textual.strip import Strip

from flowtui.tui.draw.cells import Part, clip, line, width_of, wrap
from flowtui.tui.draw.ink import Ink
from flowtui.tui.text import visible

from .frame import Frame
from .panel import Panel


class HeaderPanel(Panel):
    """The top lines."""

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Model and file; question; answer."""
        run, ink = frame.facts.run, frame.ink
        model = run.model
        name: list[Part] = [("flowtui ", ink.accent), (visible(model.name), ink.strong)]
        about = f" · {visible(model.family)} · {model.layers} layers · {len(run.tokens.image_positions)} image tokens"
        made = [line(ink, width, *name, (about, ink.dim), right=[(clip(frame.title, width // 3), ink.dim)])]
        question_rows = max(0, height - 2)
        for i, text in enumerate(wrap(visible(run.spec.question), width - 3, question_rows)):
            made.append(line(ink, width, ("Q  " if i == 0 else "   ", ink.accent), (text, ink.text)))
        made.append(answer_line(ink, width, run.answer.tokens, frame.look.token, given=run.answer.given))
        return made


def answer_line(ink: Ink, width: int, tokens: tuple[str, ...], current: int | None, *, given: bool) -> Strip:
    """The answer token by token; of a long answer the part around the current token.

    Args:
        ink: Colours.
        width: Cells.
        tokens: Token texts as they come.
        current: Current token, None for all together.
        given: Whether the user gave the answer.
    """
    origin = "given" if given else "greedy"
    which = (
        "all tokens"
        if current is None
        else "the only token"
        if len(tokens) == 1
        else f"token {current}/{len(tokens) - 1}"
    )
    right: list[Part] = [(f"{which} · {origin}", ink.dim)]
    words = ["(all)", *(visible(t).strip() or "␣" for t in tokens)]
    # One token may not push its neighbours off the line.
    words = [clip(word, max(3, (width - 3) // 3)) for word in words]
    at = 0 if current is None else current + 1
    room = width - 3 - width_of(right) - 3
    first, last = word_window(words, at, room)
    parts: list[Part] = [("A  ", ink.accent)]
    if first > 0:
        parts.append(("… ", ink.dim))
    for i in range(first, last):
        tone = ink.mark if i == at else ink.dim if i == 0 else ink.strong
        parts += [(words[i], tone), (" ", ink.text)]
    if last < len(words):
        parts.append(("…", ink.dim))
    if not tokens:
        parts.append(("(the answer is empty)", ink.dim))
    return line(ink, width, *parts, right=right)


def word_window(words: list[str], at: int, room: int) -> tuple[int, int]:
    """A range of words around `at` that fits in `room` cells, blanks and ellipses included."""
    sizes = [cell_len(word) + 1 for word in words]
    first, last, used = at, at + 1, sizes[at] + 3
    while True:
        if last < len(words) and used + sizes[last] <= room:
            used += sizes[last]
            last += 1
        elif first > 0 and used + sizes[first - 1] <= room:
            used += sizes[first - 1]
            first -= 1
        else:
            return first, last
