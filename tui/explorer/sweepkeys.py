"""The keys of a sweep's screen. Those that do the same as in a run have its ids, and are remapped along with them."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from .bindings import SECTIONS

SWEEP_SECTIONS: dict[str, list[Binding]] = {
    "K": [
        Binding("l,right", "step(1)", "K on: one more layer sees the image", id="layer.next"),
        Binding("h,left", "step(-1)", "K back", id="layer.previous"),
        Binding("L,shift+right", "step(10)", "K 10 on", id="layer.forward"),
        Binding("H,shift+left", "step(-10)", "K 10 back", id="layer.back"),
        Binding("g,home", "go(0)", "K = 0: no layer sees the image", id="layer.first"),
        Binding("G,end", "go(-1)", "K = L: the untouched model", id="layer.last"),
        Binding("c", "cliff", "to the cliff", id="layer.cliff"),
        Binding("s", "strongest", "to the K where the score rises most, then the next", id="view.strongest"),
    ],
    "Curve": [
        Binding("m", "metric", "next metric", id="map.kind"),
        Binding("right_square_bracket", "curve(1)", "next way of cutting", id="token.next"),
        Binding("left_square_bracket", "curve(-1)", "previous way of cutting", id="token.previous"),
        Binding("t", "turn", "turn to the difference from the untouched model, and back", id="view.turn"),
    ],
    "Items": [
        Binding("j,down", "row(1)", "next item", id="view.down"),
        Binding("k,up", "row(-1)", "previous item", id="view.up"),
        Binding("J,shift+down,pagedown", "row(10)", "10 items on", id="view.forward"),
        Binding("K,shift+up,pageup", "row(-10)", "10 items back", id="view.back"),
        Binding("v", "which(1)", "list: items that flip, lose, gain, answer otherwise, all", id="view.next"),
        Binding("V", "which(-1)", "the list before", id="view.previous"),
        Binding("enter", "open_item", "open the item as a run: the model is asked it again", id="view.zoom"),
    ],
    "Runs": [
        Binding("b", "app.browse", "browse: files in this folder and lately opened", id="run.browse"),
        Binding("right_curly_bracket,tab", "leave(1)", "to the next open sweep, or to the runs", id="run.next"),
        Binding("left_curly_bracket,shift+tab", "leave(-1)", "to the previous one", id="run.previous"),
        Binding("S", "leave(1)", "to the next open sweep, or to the runs", id="run.sweep"),
        Binding("w", "close", "close this sweep", id="run.close"),
    ],
    "Sweep": [
        Binding("escape", "cancel", "cancel what is being computed, or go to the open runs", id="run.cancel"),
        Binding("e", "export", "export: figure and data", id="run.export"),
        Binding("y", "copy", "copy the numbers at this K", id="run.copy"),
    ],
    "Explorer": [
        Binding("question_mark,f1", "help", "this help", id="help"),
        *(
            Binding(one.key, f"app.{one.action}", one.description, id=one.id)
            for one in SECTIONS["Explorer"]
            if one.id != "help"
        ),
    ],
}
"""Help section -> its bindings."""

SWEEP_BINDINGS: list[BindingType] = [
    *(binding for section in SWEEP_SECTIONS.values() for binding in section),
    # As over the runs, where it is Textual's own.
    Binding("ctrl+c", "app.help_quit", show=False, system=True),
]

SWEEP_HINTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("layer.previous", "layer.next"), "K"),
    (("help",), "help"),
    (("quit",), "quit"),
    (("view.down", "view.up"), "item"),
    (("layer.cliff",), "cliff"),
    (("view.zoom",), "open"),
    (("view.next",), "list"),
    (("view.turn",), "turn"),
    (("map.kind",), "metric"),
    (("token.previous", "token.next"), "cut"),
    (("run.sweep",), "runs"),
    (("run.export",), "export"),
    (("view.strongest",), "steepest"),
    (("run.browse",), "files"),
    (("run.copy",), "copy"),
    (("palette",), "palette"),
)
"""Binding ids, and the word for them on the last line, the most useful first."""


def sweep_hints(
    keys: dict[str, list[str]], *, width: int, metrics: bool, curves: bool, others: bool
) -> tuple[tuple[str, str], ...]:
    """The keys to show on a line of this width.

    Args:
        keys: Binding id -> keys as they are shown.
        width: Cells.
        metrics, curves, others: Whether there is more than one metric, way of cutting, open file.
    """
    idle = {"map.kind": metrics, "token.previous": curves, "run.sweep": others}
    chosen: dict[str, tuple[str, str]] = {}
    room = width
    for ids, word in SWEEP_HINTS:
        shown = "/".join(keys[i][0] for i in ids if keys.get(i))
        cells = len(shown) + len(word) + 3
        if shown and idle.get(ids[0], True) and cells <= room + 2:
            chosen[ids[0]] = (shown, word)
            room -= cells
    last = ("help", "quit")
    return tuple(chosen[i] for i in (*(i for i in chosen if i not in last), *last) if i in chosen)
