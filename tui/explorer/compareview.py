"""Two maps beside each other, and their difference."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from textual.strip import Strip

from flowtui.tui.draw.cells import Part, beside, clip, heading, line, wrap, wrap_first
from flowtui.tui.draw.difference import signed_legend
from flowtui.tui.draw.fields import fit_cells
from flowtui.tui.draw.legend import legend
from flowtui.tui.text import visible

from .comparefacts import Likeness, Side, against, likeness, next_against, run_sides, sides
from .facts import KIND_NAMES, Facts, Gap
from .frame import Frame, Other
from .look import Look
from .mapview import note_lines
from .placed import Placed
from .view import ViewPanel

GAP_CELLS = 2
LEGEND_CELLS = 24
"""A narrower column has the largest value in words, without its colour."""
MAX_KEPT = 512
EXPLAINED_ROWS = 6
"""With more rows to spare it is said on the screen how to read it."""


class ComparePanel(ViewPanel):
    """Left map, right map, difference; numbers below."""

    view = "compare"
    title = "Compare"
    reading = (
        "x pins a layer: it stands on the left, the current one on the right; j and k move the pinned one, B binds "
        "the two together so that h and l move both. t compares another map of the same layer instead, and where "
        "several runs are open, another run at the same relative depth, which j and k choose. The third "
        "picture is right minus left, each map divided by its own maximum first: blue (- = ≡) where the left one has "
        "more, orange (+ * #) where the right one has. Rank correlation says whether the two order the image alike "
        "(1: yes, 0: not at all, −1: the other way round); overlap is the part of the two maps that coincides."
    )
    hints = ("view.pin", "view.turn", "view.tie", "map.kind", "view.down", "map.opacity")

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[tuple[int, int], tuple[object, Likeness | None]] = OrderedDict()

    def move(self, look: Look, facts: Facts, rows: int) -> Look:
        """The pinned layer on or back, or the next other run, where it is shown."""
        others = self._others
        if look.beside is not None and others:
            return replace(look, beside=(look.beside + rows) % len(others))
        if look.pinned is None or against(look) is not None:
            return look
        return replace(look, pinned=max(0, min(look.pinned + rows, facts.layers - 1)))

    def turn(self, look: Look, facts: Facts) -> Look:
        """The next thing to compare with: the other maps, the pinned layer, the other open runs."""
        shown = look.beside is not None and bool(self._others)
        after = next_against(look)
        first = against(replace(look, against=None)) if look.pinned is None else None
        if shown:
            return replace(look, beside=None, against=first)
        # Once through all that one run has to offer, another run is next.
        return replace(look, against=after, beside=0 if self._others and after == first else None)

    @property
    def _others(self) -> tuple[Other, ...]:
        return () if self._frame is None else self._frame.others

    def zoom(self, look: Look, facts: Facts) -> Look:
        """The current layer in the main view."""
        return replace(look, view="main")

    def draw(self, frame: Frame, width: int, height: int) -> list[Strip]:
        """Heading, three columns, numbers."""
        facts, look, ink = frame.facts, frame.look, frame.ink
        other = other_of(frame)
        left, right = sides(facts, frame.painter, look) if other is None else run_sides(frame, other)
        alike = self._likeness(left, right)
        made = [heading(ink, width, self.title, *_what(look, left, right))]
        below = self._below(frame, left, right, alike, width, height)
        count = 3 if width >= 36 else 2 if width >= 20 else 1
        cells = max(1, (width - GAP_CELLS * (count - 1)) // count)
        rows = fit_cells(frame.painter.ratio, cells, max(1, height - 3 - len(below)))[1]
        pins = [other is None and _pinned(look, i) for i in range(2)]
        columns = [self._map(frame, side, cells, rows, pinned=p) for side, p in zip((left, right), pins, strict=True)]
        self.pictures = ()
        for i, side in enumerate((left, right)[:count]):
            self._place(frame, side, cells, rows, i * (cells + GAP_CELLS))
        columns.append(self._difference(frame, left, right, alike, cells, rows))
        gap = line(ink, GAP_CELLS, ("", ink.text))
        for strips in zip(*columns[:count], strict=True):
            joined = [part for strip in strips for part in (strip, gap)][:-1]
            made.append(Strip.join(joined).adjust_cell_length(width, ink.text))
        made += below
        if height - len(made) > EXPLAINED_ROWS:
            lines = wrap(self.reading, min(width, 100), height - len(made) - 1)
            made += [line(ink, width, (text, ink.dim)) for text in ("", *lines)]
        return made

    def _map(self, frame: Frame, side: Side, width: int, rows: int, *, pinned: bool) -> list[Strip]:
        """Title, image and legend of one side: `rows` + 2 lines."""
        ink, look, heat = frame.ink, frame.look, side.heat
        there = None if isinstance(heat, Gap) else heat
        size = fit_cells(side.painter.ratio, width, rows)
        name = KIND_NAMES[side.kind] if against(look) is not None else f"layer {side.layer}"
        if side.run is not None:
            name = f"run {side.run}, layer {side.layer}/{side.facts.layers - 1}"
        title: Part = (name, ink.strong)
        right: list[Part] = [("pinned", ink.accent)] if pinned else []
        image = side.painter.draw(there, look.opacity, size, ink.background, look.palette)
        foot = line(ink, width, ("no map here" if there is None else "zero everywhere", ink.dim))
        if there is not None and there.peak:
            plain = side.painter.graphics.name == "ascii"
            notes = (there.peak, there.peak_short)
            foot = line(ink, width, (f"max {there.high}", ink.text), right=[(there.peak_short, ink.dim)])
            if width >= LEGEND_CELLS:
                foot = legend(ink, width, there.high, notes=notes, plain=plain, palette=look.palette)
        return _column(frame, line(ink, width, title, right=right), image, foot, width, rows)

    def _place(self, frame: Frame, side: Side, width: int, rows: int, left: int) -> None:
        """Tells where the map of one side is."""
        look, ground = frame.look, frame.ink.background
        there = None if isinstance(side.heat, Gap) else side.heat
        size = fit_cells(side.painter.ratio, width, rows)
        placed = Placed(left + (width - size[0]) // 2, 2, size, side.painter, there, look.opacity, ground, look.palette)
        self.pictures = (*self.pictures, placed)

    def _difference(
        self, frame: Frame, left: Side, right: Side, alike: Likeness | None, width: int, rows: int
    ) -> list[Strip]:
        """Title, image and legend of the difference."""
        ink, look, painter = frame.ink, frame.look, left.painter
        words = ("Difference: right − left", "Right − left")
        title = line(ink, width, (next((t for t in words if len(t) <= width), words[-1]), ink.strong))
        size = fit_cells(painter.ratio, width, rows)
        if alike is None or isinstance(left.heat, Gap) or isinstance(right.heat, Gap):
            image = painter.draw(None, look.opacity, size, ink.background)
            there = not isinstance(left.heat, Gap) and not isinstance(right.heat, Gap)
            why = "the grids differ" if there else "needs both maps"
            return _column(frame, title, image, line(ink, width, (why, ink.dim)), width, rows)
        image = painter.difference(left.heat, right.heat, look.opacity, size, ink.background, right.painter)
        plain = painter.graphics.name == "ascii"
        foot = signed_legend(ink, width, f"{alike.high:.2f}", names=_names(left, right), plain=plain)
        return _column(frame, title, image, foot, width, rows)

    def _below(
        self, frame: Frame, left: Side, right: Side, alike: Likeness | None, width: int, height: int
    ) -> list[Strip]:
        """Numbers, and what has to be said about the maps."""
        ink = frame.ink
        made = [line(ink, width, (text, ink.strong)) for text in wrap_first(numbers(alike), width, 1)] if alike else []
        for side in (left, right)[: 1 if right.heat is left.heat else 2]:
            if side.heat.note:
                run = "" if side.run is None else f"run {side.run}, "
                note = f"{run}{KIND_NAMES[side.kind]} layer {side.layer}: {side.heat.note}"
                made += note_lines(ink, width, note, ink.warn, 2)
        if left.run is not None:
            made += [line(ink, width, (text, ink.dim)) for text in runs_in_words(left, right, width, height)]
        elif frame.look.pinned is None and height >= 15:
            made += note_lines(ink, width, "x pins this layer, to compare other layers with it.", ink.dim, 1)
        return made[: max(1, height - 6)]

    def _likeness(self, left: Side, right: Side) -> Likeness | None:
        """The numbers, kept as long as both maps are."""
        key = (id(left.heat), id(right.heat))
        if key not in self._kept:
            self._kept[key] = ((left.heat, right.heat), likeness(left, right))
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return self._kept[key][1]


def numbers(alike: Likeness) -> tuple[str, ...]:
    """How alike the maps are, in words: in full, and shorter."""
    rank = "not defined" if alike.rank is None else f"{alike.rank:+.2f}".replace("-", "−")
    overlap = "not defined" if alike.overlap is None else f"{100 * alike.overlap:.0f} %"
    shared = "" if alike.shared is None else f" · {alike.shared} of the {alike.hottest} hottest cells in both"
    return (
        f"Rank correlation (Spearman) {rank} · overlap {overlap}{shared}",
        f"Spearman {rank} · overlap {overlap}{shared}",
        f"Spearman {rank} · overlap {overlap}",
    )


def _what(look: Look, left: Side, right: Side) -> tuple[str, tuple[str, ...]]:
    """What is compared, and how the layers move."""
    if left.run is not None:
        return _which_runs(left, right)
    attention = "attention" in (left.kind, right.kind)
    rows = right.facts.rows_of(replace(look, kind="attention") if attention else look)
    last = right.facts.layers - 1
    if left.kind != right.kind:
        return f"two maps of layer {right.layer}/{last}", (f"{rows[0]} · h l move both", *rows)
    bound = "bound, h l move both (B)" if look.tied else "the pinned one stays (B binds)"
    return f"{KIND_NAMES[left.kind]}, layers {left.layer} and {right.layer} of {last}", (f"{rows[0]} · {bound}", *rows)


def other_of(frame: Frame) -> Other | None:
    """The other run that is compared with; None where layers or maps of one run are."""
    beside = frame.look.beside
    return None if beside is None or not frame.others else frame.others[beside % len(frame.others)]


def runs_in_words(left: Side, right: Side, width: int, height: int) -> list[str]:
    """What the two runs are, and what their difference does not say: a few lines, none on a small screen."""
    made = []
    if height >= 15:
        for side in (left, right):
            run = side.facts.run
            what = f"{visible(run.model.name)}: {visible(run.spec.question)} → {visible(run.answer.text)}"
            made.append(clip(f"run {side.run}  {what}", width))
        if left.facts.run.spec.images != right.facts.run.spec.images:
            made.append(clip("The images differ: the maps are compared by place, not by what is there.", width))
    return made


def _which_runs(left: Side, right: Side) -> tuple[str, tuple[str, ...]]:
    """Which runs are compared, and how their layers go together."""
    what = f"{KIND_NAMES[left.kind]}, runs {left.run} and {right.run}"
    if left.facts.layers == right.facts.layers:
        return what, ("same layer of both · h l move both, j k another run", "h l move both", "")
    return what, (
        "layers at the same relative depth · h l move both, j k another run",
        "same relative depth · h l move both",
        "same relative depth",
    )


def _names(left: Side, right: Side) -> tuple[str, str]:
    if left.run is not None:
        return f"run {left.run}", f"run {right.run}"
    if left.kind != right.kind:
        return KIND_NAMES[left.kind], KIND_NAMES[right.kind]
    return f"layer {left.layer}", f"layer {right.layer}"


def _pinned(look: Look, side: int) -> bool:
    return side == 0 and look.pinned is not None and against(look) is None


def _column(frame: Frame, title: Strip, image: list[Strip], foot: Strip, width: int, rows: int) -> list[Strip]:
    """Lines of one column: the legend right below the image, the rest blank."""
    ink = frame.ink
    left = (width - image[0].cell_length) // 2 if image else 0
    blank = line(ink, width, (clip("", width), ink.text))
    made = [title, *(beside(ink, width, strip, left) for strip in image), foot]
    # Another run's images may have another shape.
    return [*made, *[blank] * rows][: rows + 2]
