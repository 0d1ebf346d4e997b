"""Every key of the explorer, in the order of the help screen. Each has an id, by which it can be remapped."""

from __future__ import annotations

from textual.binding import Binding, BindingType

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
        Binding("m", "kind", "map: CAM or attention", id="map.kind"),
        Binding("o", "opacity", "opacity of the heat", id="map.opacity"),
        Binding("n", "norm", "normalisation of the shares", id="shares.norm"),
    ],
    "Views": [
        Binding("v", "view", "main view, grid of all layers", id="view.next"),
        Binding("enter", "zoom", "grid: open this layer", id="view.zoom"),
        Binding("j,down", "row(1)", "grid: one row down", id="grid.down"),
        Binding("k,up", "row(-1)", "grid: one row up", id="grid.up"),
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
        Binding("q", "quit", "quit", id="quit"),
    ],
}
"""Help section -> its bindings."""

BINDINGS: list[BindingType] = [binding for section in SECTIONS.values() for binding in section]

HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("layer.previous", "layer.next"), "layer"),
    (("help",), "help"),
    (("quit",), "quit"),
    (("token.previous", "token.next"), "token"),
    (("map.kind",), "map"),
    (("layer.cliff",), "cliff"),
    (("view.next",), "view"),
    (("run.compute",), "compute"),
    (("map.opacity",), "opacity"),
    (("layer.play",), "play"),
    (("palette",), "palette"),
    (("shares.norm",), "norm"),
    (("run.export",), "export"),
    (("run.copy",), "copy"),
)
"""Binding ids and the word for them on the last line, the most useful first."""
_ON_SCREEN = ("layer.previous", "token.previous", "map.kind", "layer.cliff", "view.next", "run.compute", "map.opacity",
              "layer.play", "palette", "shares.norm", "run.export", "run.copy", "help", "quit")  # fmt: skip
"""Order on the line, left to right."""


def hints(keys: dict[str, list[str]], *, width: int, compute: bool) -> tuple[tuple[str, str], ...]:
    """The keys to show on a line of this width.

    Args:
        keys: Binding id -> keys as they are shown.
        width: Cells.
        compute: Whether something is missing, so that computing is worth a place at the front.

    Returns:
        (keys, word), as many of the most useful as fit, in a fixed order.
    """
    chosen: dict[str, tuple[str, str]] = {}
    room = width
    order = sorted(HINTS, key=lambda h: h[0] != ("run.compute",)) if compute else HINTS
    for ids, word in order:
        shown = "/".join(keys[i][0] for i in ids if keys.get(i))
        cells = len(shown) + len(word) + 3
        if shown and cells <= room + 2:
            chosen[ids[0]] = (shown, word)
            room -= cells
    return tuple(chosen[i] for i in _ON_SCREEN if i in chosen)
