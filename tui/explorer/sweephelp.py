"""The help of a sweep's screen."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from flowtui.tui.text import visible

from .dialogs import append_keys
from .sweepfacts import SweepFacts
from .sweepkeys import SWEEP_SECTIONS
from .sweepview import READING


def sweep_help(facts: SweepFacts, keys: Mapping[str, list[str]]) -> Text:
    """How to read the screen, its keys, and the sweep in full."""
    text = Text()
    text.append("How to read it\n", "bold underline").append(f"{READING}\n\n")
    append_keys(text, SWEEP_SECTIONS, keys)
    text.append("This sweep\n", "bold underline")
    sweep, model = facts.sweep, facts.sweep.model
    options = ", ".join(f"{name} {value}" for name, value in sweep.options.items())
    for name, value in (
        ("data set", f"{sweep.dataset}, {len(sweep.items)} items, digest {sweep.digest}"),
        ("model", f"{model.name} ({model.family}, {model.layers} layers, {model.heads} heads, {model.dtype})"),
        ("metrics", ", ".join(f"{n} ({'lower' if low else 'higher'} is better)" for n, low in sweep.metrics.items())),
        ("options", options),
        *(("note", note) for note in sweep.notes),
    ):
        text.append(f"  {name:<10}", "bold").append(f"{visible(value)}\n")
    return text
