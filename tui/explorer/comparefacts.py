"""How alike two maps are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import Run

from .facts import Facts, Gap, Heat
from .frame import Frame, Other
from .look import KINDS, Kind, Look
from .painter import Painter


@dataclass(frozen=True, slots=True)
class Side:
    """One map of a comparison.

    Attributes:
        facts: Of the run it comes from.
        painter: Of the same run.
        kind: Which map.
        layer: 0-based.
        heat: The map, or why there is none.
        run: Number of the run's tab where two runs are compared, else None.
    """

    facts: Facts
    painter: Painter
    kind: Kind
    layer: int
    heat: Heat | Gap
    run: int | None = None


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two maps are over the cells of all grids.

    Attributes:
        rank: Spearman's rank correlation, -1 to 1; None where a map is the same everywhere.
        overlap: Sum over cells of the smaller of the two parts, each map summing to 1; 0 to 1, None for a zero map.
        hottest: Cells in a tenth of the map, at least one.
        shared: How many of them are among the hottest tenth of both; None for a zero map.
        high: Largest difference of the two, each divided by its own maximum, 0 to 1.
    """

    rank: float | None
    overlap: float | None
    hottest: int
    shared: int | None
    high: float


def against(look: Look) -> Kind | None:
    """The other map's kind where two kinds are compared; None where two layers are."""
    if look.against is not None and look.against != look.kind:
        return look.against
    if look.pinned is not None and look.against is None:
        return None
    return KINDS[(KINDS.index(look.kind) + 1) % len(KINDS)]


def next_against(look: Look) -> Kind | None:
    """What comes after `against`: each other kind, and the pinned layer where there is one."""
    options: list[Kind | None] = [kind for kind in KINDS if kind != look.kind]
    if look.pinned is not None:
        options.append(None)
    return options[(options.index(against(look)) + 1) % len(options)]


def sides(facts: Facts, painter: Painter, look: Look) -> tuple[Side, Side]:
    """The two maps of one run: the pinned layer and the current one, or two kinds of the current one."""
    other = against(look)
    first = look.layer if other is not None or look.pinned is None else look.pinned
    places = ((look.kind, first), (other or look.kind, look.layer))
    left, right = (
        Side(facts, painter, kind, layer, facts.heat_of(replace(look, kind=kind), layer)) for kind, layer in places
    )
    return left, right


def run_sides(frame: Frame, other: Other) -> tuple[Side, Side]:
    """The same map of two runs: another one at the same relative depth, and the run on screen."""
    facts, look = frame.facts, frame.look
    layer = same_depth(look.layer, facts.layers, other.facts.layers)
    left = Side(other.facts, other.painter, look.kind, layer, _heat_there(other.facts, look, layer), other.number)
    return left, Side(facts, frame.painter, look.kind, look.layer, facts.heat_of(look), frame.tab + 1)


def same_depth(layer: int, layers: int, others: int) -> int:
    """The layer of a model with `others` layers that lies as deep as `layer` of `layers`; first and last coincide."""
    return layer if layers == others else round(layer / max(1, layers - 1) * (others - 1))


def _heat_there(facts: Facts, look: Look, layer: int) -> Heat | Gap:
    """The map of another run, which may have no such token or head."""
    if look.token is not None and look.token >= facts.tokens:
        return Gap(
            f"The answer of this run has only {facts.tokens} token{'s' * (facts.tokens != 1)}. [ and ] choose another."
        )
    heads = facts.run.model.heads
    if look.kind == "attention" and look.head is not None and look.head >= heads:
        return Gap(f"This run's model has only {heads} head{'s' * (heads != 1)}. u goes back to their mean.")
    return facts.heat_of(look, layer)


def likeness(left: Side, right: Side) -> Likeness | None:
    """Compares two maps cell by cell; None where one is missing or their grids differ."""
    if isinstance(left.heat, Gap) or isinstance(right.heat, Gap):
        return None
    if grids(left.facts.run) != grids(right.facts.run):
        return None
    a, b = cells(left.facts.run, left.heat.values), cells(right.facts.run, right.heat.values)
    if not len(a):
        return None
    hottest = max(1, round(len(a) / 10))
    there = a.sum() > 0 and b.sum() > 0
    tops = [set(np.argsort(-values, kind="stable")[:hottest].tolist()) for values in (a, b)]
    return Likeness(
        spearman(a, b),
        float(np.minimum(a / a.sum(), b / b.sum()).sum()) if there else None,
        hottest,
        len(tops[0] & tops[1]) if there else None,
        float(np.abs(_to_one(b) - _to_one(a)).max()),
    )


def cells(run: Run, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values over image tokens as those of all grid cells, one grid after the other: [cells]."""
    spans = [span for span in run.tokens.spans if run.tokens.grid_of(span)]
    return np.concatenate([np.zeros(0), *(np.ravel(run.tokens.on_grid(values, span)) for span in spans)])


def grids(run: Run) -> list[tuple[int, int, int]]:
    """(image, rows, columns) of each grid: two runs' maps compare cell by cell where these are the same."""
    found = ((span, run.tokens.grid_of(span)) for span in run.tokens.spans)
    return [(span.image, grid[0], grid[1]) for span, grid in found if grid]


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where one of the two is constant."""
    x, y = (_ranks(values) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else None


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[where], dtype=np.float64)


def _to_one(values: NDArray[np.float64]) -> NDArray[np.float64]:
    top = values.max()
    return values / top if top > 0 else values
