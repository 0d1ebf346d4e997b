"""Every key of the explorer, in the order of the help screen. Each has an id, by which it can be remapped."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from textual.binding import Binding, BindingType

from .look import VIEWS

SECTIONS: dict[str, list[Binding]] = {
    "Layers": [
        Binding("l,right", "step(1)", "next layer", id="layer.next"),
        Binding("h,left", "step(-1)", "previous layer", id="layer.previous"),
        Binding("L,shift+right", "step(10)", "10 layers on", id="layer.forward"),
        Binding("H,shift+left", "step(-10)", "10 layers back", id="layer.back"),
        Binding("g,home", "go(0)", "first layer", id="layer.first"),
        Binding("G,end", "go(-1)", "last layer", id="layer.last"),
        Binding("c", "cliff", "to the cliff", id="layer.cliff"),
        Binding("space", "play", "play through the layers, stop", id="layer.play"),
    ],
    "Map and shares": [
        Binding("right_square_bracket", "token(1)", "next answer token", id="token.next"),
        Binding("left_square_bracket", "token(-1)", "previous answer token", id="token.previous"),
        Binding("m", "kind", "map: CAM, attention, saliency", id="map.kind"),
        Binding("u", "mean", "attention map: back to the mean over heads", id="map.mean"),
        Binding("o", "opacity", "opacity of the heat", id="map.opacity"),
        Binding("p", "palette", "colour map of the heat", id="map.palette"),
        Binding("i", "inspect", "inspect: a cursor over the map, its value in numbers", id="map.inspect"),
        Binding("n", "norm", "normalisation of the shares; in the grid: one scale", id="shares.norm"),
    ],
    "Views": [
        Binding("v", "view(1)", "next view", id="view.next"),
        Binding("V", "view(-1)", "previous view", id="view.previous"),
        *(
            Binding(str(i), f"show('{name}')", what, id=f"view.{name}")
            for i, (name, what) in enumerate(VIEWS.items(), 1)
        ),
        Binding("j,down", "row(1)", "in a view: down", id="view.down"),
        Binding("k,up", "row(-1)", "in a view: up", id="view.up"),
        Binding("J,shift+down", "row(10)", "in a view: far down", id="view.forward"),
        Binding("K,shift+up", "row(-10)", "in a view: far up", id="view.back"),
        Binding("t", "turn", "in a view: turn to its other side", id="view.turn"),
        Binding("s", "strongest", "in a view: to the strongest, then the next", id="view.strongest"),
        Binding("enter", "zoom", "in a view: open what is chosen", id="view.zoom"),
        Binding("x", "pin", "pin this layer, to compare others with it; again to let go", id="view.pin"),
        Binding("B", "tie", "compare: bind the pinned layer to the current one, or let it stay", id="view.tie"),
    ],
    "Runs": [
        Binding("a", "ask", "ask: another question, image or model", id="run.ask"),
        Binding("b", "browse", "browse: run files in this folder and lately opened", id="run.browse"),
        Binding("right_curly_bracket,tab", "run(1)", "next open run", id="run.next"),
        Binding("left_curly_bracket,shift+tab", "run(-1)", "previous open run", id="run.previous"),
        Binding("w", "close_run", "close this run's tab", id="run.close"),
        Binding("S", "sweep", "to the open sweep", id="run.sweep"),
    ],
    "Run": [
        Binding("r", "compute", "compute what is missing", id="run.compute"),
        Binding("escape", "cancel", "cancel the computation", id="run.cancel"),
        Binding("e", "export", "export maps, shares, curve", id="run.export"),
        Binding("y", "copy", "copy this layer's numbers", id="run.copy"),
    ],
    "Explorer": [
        Binding("question_mark,f1", "help", "this help", id="help"),
        Binding("ctrl+p", "command_palette", "palette: every action by name", id="palette"),
        Binding("ctrl+z", "suspend_process", "to the shell; there, fg comes back", id="suspend"),
        Binding("q", "quit", "quit", id="quit"),
    ],
}
"""Help section -> its bindings."""

BINDINGS: list[BindingType] = [binding for section in SECTIONS.values() for binding in section]

BINDING_IDS = frozenset(binding.id for section in SECTIONS.values() for binding in section if binding.id)

HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("layer.previous", "layer.next"), "layer"),
    (("help",), "help"),
    (("quit",), "quit"),
    (("view.next",), "view"),
    (("token.previous", "token.next"), "token"),
    (("map.kind",), "map"),
    (("layer.cliff",), "cliff"),
    (("run.compute",), "compute"),
    (("run.previous", "run.next"), "run"),
    (("run.sweep",), "sweep"),
    (("run.ask",), "ask"),
    (("run.browse",), "runs"),
    (("view.down", "view.up"), "move"),
    (("view.zoom",), "open"),
    (("view.turn",), "turn"),
    (("view.strongest",), "strongest"),
    (("map.mean",), "mean of heads"),
    (("view.pin",), "pin"),
    (("view.tie",), "bind"),
    (("map.inspect",), "inspect"),
    (("map.opacity",), "opacity"),
    (("layer.play",), "play"),
    (("palette",), "palette"),
    (("map.palette",), "colours"),
    (("shares.norm",), "norm"),
    (("run.export",), "export"),
    (("run.copy",), "copy"),
)
"""Binding ids, and the word for them on the last line."""
_ALWAYS = ("layer.previous", "help", "quit")
MAIN_HINTS = ("token.previous", "map.kind", "layer.cliff", "view.next", "run.ask", "map.inspect", "map.opacity",
         "run.browse", "shares.norm", "layer.play", "palette", "run.export", "run.copy")  # fmt: skip
"""What matters in the main view; another view names its own first."""


def hints(
    keys: dict[str, list[str]],
    *,
    width: int,
    compute: bool,
    runs: bool = False,
    sweep: bool = False,
    view: tuple[str, ...] = MAIN_HINTS,
    own: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[str, str], ...]:
    """The keys to show on a line of this width.

    Args:
        keys: Binding id -> keys as they are shown.
        width: Cells.
        compute: Whether something is missing, so that computing is worth a place at the front.
        runs: Whether there are several open runs to go through.
        sweep: Whether a sweep is open.
        view: First ids of the hints that matter in the view, the most useful first.
        own: The view's own words for some of them, by first id.

    Returns:
        (keys, word), as many of the most useful as fit; help and quit stand last.
    """
    words = {ids[0]: (ids, word) for ids, word in HINTS}
    there = {"run.compute": compute, "run.sweep": sweep, "run.previous": runs}
    now = [name for name, is_there in there.items() if is_there]
    wanted = dict.fromkeys([*_ALWAYS, *now, *view, "view.next", "palette"])
    chosen: dict[str, tuple[str, str]] = {}
    room = width
    for first in wanted:
        ids, word = words[first]
        word = own.get(first, word)
        shown = "/".join(keys[i][0] for i in ids if keys.get(i))
        cells = len(shown) + len(word) + 3
        if shown and cells <= room + 2:
            chosen[first] = (shown, word)
            room -= cells
    order = [first for first in wanted if first not in ("help", "quit")]
    return tuple(chosen[i] for i in (*order, "help", "quit") if i in chosen)
