"""The lens at the answer's tokens: the table, and the current cell in full."""

from __future__ import annotations

from textual.strip import Strip

from flowtui.tui.draw.bars import percent
from flowtui.tui.draw.cells import Part, clip, heading, line, width_of, wrap_first
from flowtui.tui.draw.lenstable import LensTable, Said, lens_lines, place_of, plan_table
from flowtui.tui.draw.ranking import curve_line, ranking
from flowtui.tui.text import visible

from .frame import Frame
from .lensfacts import LensFacts, plain_word
from .look import Look


def answer_table(frame: Frame, numbers: LensFacts, width: int, height: int) -> list[Strip]:
    """Layers by answer tokens."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    table = plan_table(facts.layers, facts.tokens, width, height - 2)
    words = [visible(text).replace(" ", "␣") or "␣" for text in facts.run.answer.tokens]
    names = [plain_word(word) for word in words]

    def said(layer: int, token: int) -> Said:
        found = numbers.top(layer, token)[: table.per]
        shown = tuple((plain_word(word.text), word.prob, word.answer) for word in found)
        return Said(shown, int(numbers.rank[layer, token]))

    part = _parts(table, look)
    title = heading(ink, width, "Logit lens", "", (*part, ""))
    return [title, *lens_lines(ink, width, table, names, said, look.layer, look.token, facts.cliff_layer)]


def current_cell(frame: Frame, numbers: LensFacts, width: int, height: int) -> list[Strip]:
    """The current cell in full, and the answer's tokens over all layers."""
    facts, look, ink = frame.facts, frame.look, frame.ink
    names = [plain_word(visible(text).replace(" ", "␣") or "␣") for text in facts.run.answer.tokens]
    if look.token is None:
        title = heading(ink, width, f"Layer {look.layer}", "", ("answer tokens, probability", "answer tokens"))
        made = [title]
        entries = [
            (t, clip(name, 16), f"{percent(float(numbers.prob[look.layer, t]))} {_rank(numbers, look.layer, t):>4}",
             float(numbers.prob[look.layer, t]))
            for t, name in enumerate(names)
        ]  # fmt: skip
        made += ranking(ink, width, entries[: max(1, (height - 3) // 2)], None)
    else:
        made = _top(frame, numbers, names[look.token], width)
    room = height - len(made)
    if room >= 3:
        made += _curves(frame, numbers, names, width, room)
    return made


def _top(frame: Frame, numbers: LensFacts, name: str, width: int) -> list[Strip]:
    """The likeliest words of the current cell, and where the answer's token is among them."""
    look, ink = frame.look, frame.ink
    assert look.token is not None
    made = [heading(ink, width, f"Layer {look.layer}, token {look.token}", "", (f"“{clip(name, 12)}”",))]
    words = numbers.top(look.layer, look.token)
    if not words:
        return [*made, line(ink, width, ("not computed yet. Press r.", ink.warn))]
    entries = [(i, clip(w.text, 16), percent(w.prob), w.prob) for i, w in enumerate(words)]
    chosen = next((i for i, w in enumerate(words) if w.answer), None)
    rank, prob = int(numbers.rank[look.layer, look.token]), float(numbers.prob[look.layer, look.token])
    if chosen is None:
        entries.append((rank, clip(name, 16), percent(prob), prob))
        chosen = rank
    made += ranking(ink, width, entries, chosen)
    settled = numbers.settled(look.token)
    says = (
        f"“{name}” does not stay first to the end."
        if settled is None
        else f"“{name}” stays first from layer {settled} on."
    )
    return [*made, *(line(ink, width, (text, ink.text)) for text in wrap_first((says,), width, 2))]


def _curves(frame: Frame, numbers: LensFacts, names: list[str], width: int, rows: int) -> list[Strip]:
    """The probability of each answer token over all layers, the current token in view."""
    look, ink = frame.look, frame.ink
    made = [heading(ink, width, "Over layers", "", ("probability of the answer's token", "probability"))]
    count = rows - 1
    first = max(0, min((look.token or 0) - count // 2, len(names) - count))
    for t in range(first, min(first + count, len(names))):
        name = clip(names[t], 10)
        tone = ink.mark if t == look.token else ink.text
        parts: list[Part] = [(name, tone), (" " * (11 - width_of([(name, tone)])), ink.text)]
        made.append(curve_line(ink, width, parts, numbers.prob[:, t], look.layer, 3))
    return made


def _rank(numbers: LensFacts, layer: int, token: int) -> str:
    rank = int(numbers.rank[layer, token])
    return place_of(rank) if rank >= 0 else ""


def _parts(table: LensTable, look: Look) -> list[str]:
    """What is on screen of a table that does not fit."""
    some = []
    if table.across < table.tokens:
        first = table.first_token(look.token)
        some.append(f"tokens {first}–{first + table.across - 1} of {table.tokens}")
    if table.rows < table.layers:
        first = table.first_layer(look.layer)
        some.append(f"layers {first}–{first + table.rows - 1} of {table.layers}")
    return [", ".join(some), *some[-1:]]
