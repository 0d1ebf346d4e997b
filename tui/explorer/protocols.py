"""Maps as escape sequences of a graphics protocol: what is on the screen already is not sent again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from threading import Lock
from typing import Protocol

import numpy as np

from flowtui.tui.draw import kitty
from flowtui.tui.draw.cursor import framed
from flowtui.tui.draw.fields import Canvas, faded
from flowtui.tui.draw.sixel import to_sixel

from .placed import Placed

FRAME_PX = 3
"""Thickness of the box around a cell."""
MAX_KEPT = 256
"""Pictures that a terminal is asked to remember, and encoded ones that are kept here."""
MAX_PHOTO_PX = 640
"""Longer sides of a photo are left to the terminal to stretch: it is sent over the line."""
OVERLAY_PX = (128 * 128, 96 * 96, 72 * 72, 48 * 48)
"""Pixels of an overlay: as many as fit into `OVERLAY_BYTES`. Some terminals stretch without smoothing."""
OVERLAY_BYTES = 2000
"""Of an overlay, compressed; on the line it takes a third more."""


class PixelProtocol(Protocol):
    """One way to draw maps in pixels.

    Attributes:
        steps: Whether a change of heat alone is so little that every one of them can be sent at once.
    """

    steps: bool

    def prepare(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> None:
        """Encodes what `draw` will need. May take some 10 ms, and may run in a thread."""
        ...

    def draw(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> str:
        """The sequences that show these maps and nothing else; all of them were prepared."""
        ...

    def clear(self) -> str:
        """The sequences that take everything off the screen."""
        ...

    def forget(self) -> str:
        """The same, and the terminal need not remember anything either."""
        ...


class _Kept:
    """The last results by key, each with what keeps its key unique: identities are reused once an object is gone."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, tuple[object, object]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> object | None:
        with self._lock:
            found = self._made.get(key)
            if found is None:
                return None
            self._made.move_to_end(key)
            return found[0]

    def put(self, key: Hashable, value: object, owner: object) -> None:
        with self._lock:
            self._made[key] = (value, owner)
            while len(self._made) > MAX_KEPT:
                self._made.popitem(last=False)


def _canvas(kept: _Kept, placed: Placed, size_px: tuple[int, int]) -> Canvas:
    """The photos at a size."""
    key = ("canvas", id(placed.painter), size_px, placed.background)
    found = kept.get(key)
    if not isinstance(found, Canvas):
        found = placed.painter.canvas(size_px, placed.background)
        kept.put(key, found, placed.painter)
    return found


def _shrunk(whole: Canvas, pixels: int) -> Canvas:
    """A canvas without photos, of so many pixels at most, on which the images lie where they do on another."""
    high, wide = whole.rgb.shape[:2]
    height = max(1, min(high, round((pixels * high / wide) ** 0.5)))
    width = max(1, min(wide, pixels // height))
    across, down = width / wide, height / high
    rects = []
    for left, top, rect_wide, rect_high in whole.rects:
        x, y = min(width - 1, round(left * across)), min(height - 1, round(top * down))
        right, bottom = round((left + rect_wide) * across), round((top + rect_high) * down)
        rects.append((x, y, max(1, min(width, right) - x), max(1, min(height, bottom) - y)))
    return Canvas(np.zeros((height, width, 3), dtype=np.uint8), tuple(rects), whole.sizes)


class SixelProtocol:
    """Whole pictures. They replace the cells they cover, and whatever is written there replaces them."""

    steps = False

    def __init__(self) -> None:
        self._kept = _Kept()

    def prepare(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> None:
        """Encodes them."""
        for placed in maps:
            self._encode(placed, cell_px)

    def draw(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> str:
        """All of them."""
        return "".join(f"\x1b7\x1b[{m.top + 1};{m.left + 1}H{self._encode(m, cell_px)}\x1b8" for m in maps)

    def clear(self) -> str:
        """Nothing: the text that is written in their place takes them away."""
        return ""

    def forget(self) -> str:
        """Nothing."""
        return ""

    def _encode(self, placed: Placed, cell_px: tuple[int, int]) -> str:
        key = (placed.content, cell_px)
        found = self._kept.get(key)
        if not isinstance(found, str):
            size_px = (placed.size[0] * cell_px[0], placed.size[1] * cell_px[1])
            canvas = _canvas(self._kept, placed, size_px)
            picture = placed.painter.picture(
                canvas, placed.heat, placed.shown_opacity, placed.background, placed.palette, placed.cell
            )
            rgb = picture.blended()
            found = to_sixel(rgb if picture.mark is None else framed(rgb, picture.mark, FRAME_PX))
            self._kept.put(key, found, (placed.painter, placed.heat))
        return found


class KittyProtocol:
    """The photo once, and over it an overlay of heat for each layer, which the terminal stretches.

    Args:
        first: Pictures are numbered from here on, so that those of other programs keep their numbers.
    """

    steps = True

    def __init__(self, first: int) -> None:
        self._kept = _Kept()
        self._next = first
        self._sent: OrderedDict[Hashable, int] = OrderedDict()
        self._shown: dict[tuple[int, int], str] = {}

    def prepare(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> None:
        """Encodes photos and overlays that were not sent yet."""
        for placed in maps:
            for key in self._layers(placed):
                if key not in self._sent:
                    self._png(key, placed, cell_px)

    def draw(self, maps: Sequence[Placed], cell_px: tuple[int, int]) -> str:
        """What is new is sent, shown over the old, and then the old is taken away: nothing flickers."""
        made: list[str] = []
        shown: dict[tuple[int, int], str] = {}
        for slot, placed in enumerate(maps, 1):
            for level, key in enumerate(self._layers(placed)):
                number = self._sent.get(key)
                if number is None:
                    number = self._sent[key] = self._next
                    self._next += 1
                    made.append(kitty.send(number, self._png(key, placed, cell_px)))
                self._sent.move_to_end(key)
                put = kitty.show(number, slot, (placed.left, placed.top), placed.size, level)
                shown[number, slot] = put
            if placed.cell is not None:
                made += self._ring(placed, cell_px, slot, shown)
        made += [put for where, put in shown.items() if self._shown.get(where) != put]
        made += [kitty.hide(*where) for where in self._shown if where not in shown]
        self._shown = shown
        return "".join([*made, *self._drop(shown)])

    def clear(self) -> str:
        """Takes the placements away; the terminal keeps the pictures for later."""
        gone, self._shown = self._shown, {}
        return "".join(kitty.hide(*where) for where in gone)

    def forget(self) -> str:
        """Frees the terminal's memory too."""
        numbers = list(self._sent.values())
        self._sent.clear()
        self._shown = {}
        return "".join(kitty.remove(number) for number in numbers)

    def _layers(self, placed: Placed) -> Iterable[Hashable]:
        """Keys of the pictures that lie over each other, the lowest first."""
        yield ("photo", placed.photo)
        if placed.heat is not None and placed.opacity:
            yield ("heat", id(placed.painter), id(placed.heat.values), placed.opacity, placed.palette,
                   placed.background)  # fmt: skip

    def _png(self, key: Hashable, placed: Placed, cell_px: tuple[int, int]) -> bytes:
        found = self._kept.get(key)
        if not isinstance(found, bytes):
            assert isinstance(key, tuple)
            found = self._photo(placed, cell_px) if key[0] == "photo" else self._heat(placed, cell_px)
            self._kept.put(key, found, (placed.painter, placed.heat))
        return found

    def _photo(self, placed: Placed, cell_px: tuple[int, int]) -> bytes:
        size_px = (placed.size[0] * cell_px[0], placed.size[1] * cell_px[1])
        scale = min(1.0, MAX_PHOTO_PX / max(size_px))
        canvas = _canvas(self._kept, placed, (max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))))
        rgb = faded(canvas.rgb, placed.shown_opacity / 100) if placed.shown_opacity else canvas.rgb
        return kitty.photo_png(np.clip(np.rint(rgb), 0, 255).astype(np.uint8))

    def _heat(self, placed: Placed, cell_px: tuple[int, int]) -> bytes:
        assert placed.heat is not None
        whole = _canvas(self._kept, placed, (placed.size[0] * cell_px[0], placed.size[1] * cell_px[1]))
        made = b""
        for pixels in OVERLAY_PX:
            field = placed.painter.field(_shrunk(whole, pixels), placed.heat)
            made = kitty.overlay_png(field, placed.opacity / 100, placed.palette)
            if len(made) <= OVERLAY_BYTES:
                break
        return made

    def _ring(
        self, placed: Placed, cell_px: tuple[int, int], slot: int, shown: dict[tuple[int, int], str]
    ) -> Iterable[str]:
        """A box of its own pixels at its own place, which moves while the rest stays."""
        canvas = _canvas(self._kept, placed, (placed.size[0] * cell_px[0], placed.size[1] * cell_px[1]))
        box = placed.painter.box(canvas, placed.cell or 0)
        if box is None:
            return
        height, width = canvas.rgb.shape[:2]
        left, top = max(0, box[0] - FRAME_PX), max(0, box[1] - FRAME_PX)
        size = (min(width, box[2] + FRAME_PX) - left, min(height, box[3] + FRAME_PX) - top)
        key = ("ring", size)
        number = self._sent.get(key)
        if number is None:
            number = self._sent[key] = self._next
            self._next += 1
            yield kitty.send(number, kitty.ring_png(size))
        self._sent.move_to_end(key)
        first = (placed.left + left // cell_px[0], placed.top + top // cell_px[1])
        shown[number, slot] = kitty.show(number, slot, first, None, 2, (left % cell_px[0], top % cell_px[1]))

    def _drop(self, shown: dict[tuple[int, int], str]) -> Iterable[str]:
        """Asks the terminal to forget what has not been shown for long."""
        on_screen = {number for number, _ in shown}
        for key, number in list(self._sent.items()):
            if len(self._sent) <= MAX_KEPT:
                return
            if number not in on_screen:
                del self._sent[key]
                yield kitty.remove(number)
