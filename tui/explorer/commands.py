"""The palette's entries: every action of the explorer, and every layer or K."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand
from textual.binding import Binding

from .bindings import SECTIONS
from .sweepkeys import SWEEP_SECTIONS

if TYPE_CHECKING:
    from .app import ExplorerApp
    from .sweepscreen import SweepScreen

_DROPPED = {"Maximize", "Minimize", "Quit", "Keys", "Screenshot"}
"""Textual's own entries that say nothing here, or that the explorer has itself."""


def commands(app: ExplorerApp) -> Iterator[SystemCommand]:
    """The explorer's entries."""
    keys = app.keys()
    for section, bindings in SECTIONS.items():
        for binding in bindings:
            if binding.id in ("palette", None):
                continue
            shown = " ".join(keys.get(binding.id or "", []))
            yield SystemCommand(_title(binding), f"{section} · {shown}", partial(app.run_action, binding.action))
    yield SystemCommand(
        "CAM at the input",
        "Maps at the layer's input norm, where the last layer has one too",
        partial(app.compute_cam, "input"),
    )
    yield SystemCommand(
        "CAM at the post-attention norm",
        "The paper's site",
        partial(app.compute_cam, "post_attention"),
    )
    for layer in range(app.facts.layers):
        go = partial(app.run_action, f"go({layer})")
        yield SystemCommand(f"Go to layer {layer}", f"of 0 to {app.facts.layers - 1}", go, discover=False)


def sweep_commands(app: ExplorerApp, screen: SweepScreen) -> Iterator[SystemCommand]:
    """The same over a sweep: every action, and every K."""
    keys = screen.keys()
    for section, bindings in SWEEP_SECTIONS.items():
        for binding in bindings:
            if binding.id != "palette":
                shown = " ".join(keys.get(binding.id or "", []))
                run = partial(app.run_action, binding.action, screen)
                yield SystemCommand(_title(binding), f"{section} · {shown}", run)
    layers = screen.sweep.facts.layers
    for k in range(layers + 1):
        go = partial(app.run_action, f"go({k})", screen)
        yield SystemCommand(f"Go to K {k}", f"of 0 to {layers}", go, discover=False)


def inherited(entries: Iterable[SystemCommand]) -> Iterator[SystemCommand]:
    """Textual's own entries that make sense here (the theme)."""
    return (entry for entry in entries if entry.title not in _DROPPED)


def _title(binding: Binding) -> str:
    text = binding.description
    return text[0].upper() + text[1:]
