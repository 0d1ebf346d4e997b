"""All layers' maps beside each other, as in the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events
from textual.strip import Strip

from flowtui.tui.draw.cells import Part, beside, clip, fit, heading, line, width_of
from flowtui.tui.draw.fields import fit_cells
from flowtui.tui.draw.legend import legend

from .facts import KIND_NAMES, Facts, Gap, Heat
from .frame import Frame
from .look import Look
from .placed import Placed
from .scrubberview import LayerPicked
from .view import ViewPanel, next_strongest

MIN_ROWS = 3
"""A tile's image is at least this high; more tiles than fit then are paged."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """How a grid is laid out.

    Attributes:
        across: Tiles beside each other.
        shown: Rows of tiles on one page.
        tile: (width, height) in cells of one tile, its label and margin included.
        image: (width, height) in cells of its image.
    """

    across: int
    shown: int
    tile: tuple[int, int]
    image: tuple[int, int]

    def page(self, layer: int) -> int:
        """First layer on the page with this layer."""
        rows = layer // self.across
        return rows // self.shown * self.shown * self.across


def lay_out(count: int, width: int, height: int, ratio: float) -> Tiles:
    """The layout with the largest images that shows all tiles, or a page of small ones where that is too many."""
    best: Tiles | None = None
    for across in range(1, count + 1):
        down = -(-count // across)
        tile = (width // across, height // down)
        if tile[0] < 5 or tile[1] < MIN_ROWS + 1:
            continue
        image = fit_cells(ratio, tile[0] - 1, tile[1] - 1)
        if best is None or image[0] * image[1] > best.image[0] * best.image[1]:
            best = Tiles(across, down, (min(tile[0], image[0] + 3), min(tile[1], image[1] + 2)), image)
    if best is not None:
        return best
    rows = max(1, min(5, height - 1))
    image = fit_cells(ratio, max(1, width - 1), rows)
    across = max(1, width // (max(image[0], 4) + 1))
    return Tiles(across, max(1, height // (rows + 1)), (max(image[0], 4) + 1, rows + 1), image)


class GridPanel(ViewPanel):
    """One tile per layer; the current one is marked."""

    view = "grid"
    title = "Every layer"
    reading = (
        "One map per layer, each divided by its own maximum; n gives all of them one scale, so that layers compare. "
        "The number beside a layer says over how many image tokens its map is spread (the exponential of its entropy): "
        "the fewer, the sharper. s goes to the sharpest map, then to the next. The current layer is marked; j and k "
        "move a row, Enter opens the layer. ∅ marks a map that is zero everywhere, · one that is not computed."
    )
    hints = ("view.down", "view.strongest", "view.zoom", "map.kind", "view.next", "shares.norm", "map.opacity",
             "token.previous", "layer.cliff")  # fmt: skip
    hint_words: ClassVar[Mapping[str, str]] = {"view.strongest": "sharpest", "shares.norm": "scale"}

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """Rows of tiles up or down, where there are more."""
        layer = look.layer + rows * self._tiles().across
        return look.at_layer(layer, facts.layers) if 0 <= layer < facts.layers else look

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The current layer in the main view."""
        return replace(look, view="main")

    def strongest(self, look: Look, facts: Facts) -> Look:
        """To the sharpest map, or from there to the next."""
        ranked = facts.sharpest(look)
        return look.at_layer(next_strongest(ranked, look.layer), facts.layers) if ranked else look

    def norm(self, look: Look) -> Look:
        """One scale for all maps, or each its own."""
        return replace(look, common=not look.common)

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Heading, tiles and legend."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        which = facts.rows_of(look)[0].removesuffix(facts.through[0])
        says = ("one scale for all maps", "one scale") if look.common else (
            "each map scaled to its own maximum", "each to its own maximum")  # fmt: skip
        notes = [note + through for through in facts.through for note in says]
        made = [heading(ink, width, f"{KIND_NAMES[look.kind]}, every layer", which, notes)]
        tiles = self._tiles()
        first = tiles.page(look.layer)
        self.pictures = ()
        for row in range(tiles.shown):
            start = first + row * tiles.across
            layers = range(start, min(start + tiles.across, facts.layers))
            if layers:
                made += self._row(frame, tiles, layers, width)
                self.pictures += self._places(frame, tiles, layers, 2 + row * tiles.tile[1])
        return [*fit(made, ink, width, max(1, height - 1)), self._legend(frame, width)]

    def _legend(self, frame: Frame, width: int) -> Strip:
        """The colours with their ends, and what the numbers say."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        current = facts.heat_of(look)
        if not look.opacity:
            return line(ink, width, ("photos alone (o)", ink.dim))
        if not facts.common_top(look):
            return line(ink, width, ("no map here" if isinstance(current, Gap) else "every map is zero", ink.dim))
        high = f"layer {look.layer}: {current.high}" if isinstance(current, Heat) else "each map's maximum"
        if look.common:
            heat = next(heat for heat in facts.heats(look) if heat is not None and heat.top == facts.common_top(look))
            high = heat.high
        notes = ("≈n: spread over about n image tokens · s: sharpest", "≈n: tokens it is spread over", "≈n tokens")
        plain = frame.painter.graphics.name == "ascii"
        return legend(ink, width, high, notes=notes, plain=plain, palette=look.palette)

    def on_click(self, event: events.Click) -> None:
        """Goes to the layer under the mouse."""
        if self._frame is None or event.y < 1:
            return
        tiles = self._tiles()
        column, row = event.x // tiles.tile[0], (event.y - 1) // tiles.tile[1]
        layer = tiles.page(self._frame.look.layer) + row * tiles.across + column
        if column < tiles.across and row < tiles.shown and layer < self._frame.facts.layers:
            self.post_message(LayerPicked(layer))

    def _tiles(self) -> Tiles:
        if self._frame is None:
            return Tiles(1, 1, (1, 1), (1, 1))
        width, height = self.size
        return lay_out(self._frame.facts.layers, width, max(1, height - 2), self._frame.painter.ratio)

    def _heat(self, frame: Frame, layer: int) -> Heat | Gap:
        """A layer's map on the scale that is chosen."""
        facts, look = frame.facts, frame.look
        return facts.common_heat(look, layer) if look.common else facts.heat_of(look, layer)

    def _places(self, frame: Frame, tiles: Tiles, layers: range, top: int) -> tuple[Placed, ...]:
        """The maps of one row of tiles, whose first lines are at `top`."""
        look, painter = frame.look, frame.painter
        made = []
        for column, layer in enumerate(layers):
            heat = self._heat(frame, layer)
            there = None if isinstance(heat, Gap) else heat
            left = column * tiles.tile[0]
            made.append(
                Placed(left, top, tiles.image, painter, there, look.opacity, frame.ink.background, look.palette)
            )
        return tuple(made)

    def _row(self, frame: Frame, tiles: Tiles, layers: range, width: int) -> list[Strip]:
        """One row of tiles: labels, then images."""
        columns = [self._tile(frame, tiles, layer) for layer in layers]
        return [Strip.join([column[y] for column in columns]).adjust_cell_length(width, frame.ink.text)
                for y in range(tiles.tile[1])]  # fmt: skip

    def _tile(self, frame: Frame, tiles: Tiles, layer: int) -> list[Strip]:
        facts, look, ink = frame.facts, frame.look, frame.ink
        wide, high = tiles.tile
        heat = self._heat(frame, layer)
        there = None if isinstance(heat, Gap) else heat
        image = frame.painter.draw(there, look.opacity, tiles.image, ink.background, look.palette)
        name = clip(f"{layer}", wide - 1)
        extra = (" ·", " missing") if isinstance(heat, Gap) else (" ∅", " zero") if not heat.peak else None
        spread = f" ≈{facts.spread(look, layer):.0f}"
        label: list[Part] = [
            (f" {name} " if len(name) + 2 < wide else name, ink.mark if layer == look.layer else ink.strong)
        ]
        if layer == facts.cliff_layer:
            label.append((" ◆" if wide < 12 else " ◆ cliff", ink.cliff))
        if extra is not None:
            label.append((extra[wide >= 12], ink.warn))
        elif width_of(label) + len(spread) < wide:
            label.append((spread, ink.dim))
        made = [line(ink, wide - 1, *label), *image]
        blank = line(ink, wide, ("", ink.text))
        made = [beside(ink, wide, strip, 0) for strip in made[:high]]
        return made + [blank] * (high - len(made))
