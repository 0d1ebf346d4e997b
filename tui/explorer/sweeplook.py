"""What the explorer shows of a sweep: an immutable choice of K, metric, way of cutting, and item."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

Which = Literal["flips", "lost", "gained", "answers", "all"]

WHICH: tuple[Which, ...] = get_args(Which)
WHICH_NAMES: dict[Which, str] = {
    "flips": "items that flip",
    "lost": "items that lose",
    "gained": "items that gain",
    "answers": "other answers",
    "all": "all items",
}


@dataclass(frozen=True, slots=True)
class SweepLook:
    """One state of the view.

    Attributes:
        k: Current K, 0..L.
        metric: Index among the sweep's metrics.
        curve: Index among its ways of cutting.
        which: Which items are listed.
        item: The item under the cursor, an index among all; None for the first that is listed.
        difference: Whether the plot shows the difference from the untouched model in place of the score.
    """

    k: int = 0
    metric: int = 0
    curve: int = 0
    which: Which = "flips"
    item: int | None = None
    difference: bool = False

    def at(self, k: int, layers: int) -> SweepLook:
        """At a K, or the nearest there is."""
        return replace(self, k=max(0, min(k, layers)))

    def next_metric(self, count: int) -> SweepLook:
        """The next metric."""
        return replace(self, metric=(self.metric + 1) % count)

    def next_curve(self, step: int, count: int) -> SweepLook:
        """The next way of cutting, or the one before."""
        return replace(self, curve=(self.curve + step) % count)

    def next_which(self, step: int) -> SweepLook:
        """The next list of items, or the one before."""
        return replace(self, which=WHICH[(WHICH.index(self.which) + step) % len(WHICH)])

    def to_plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def sweep_look_from_plain(plain: object, layers: int, metrics: int, curves: int, items: int) -> SweepLook:
    """A look from data that may come from anywhere; what does not fit the sweep falls back to the default."""
    values: dict[str, Any] = plain if isinstance(plain, dict) else {}

    def index(name: str, count: int) -> int | None:
        value = values.get(name)
        return value if type(value) is int and 0 <= value < count else None

    which = values.get("which")
    return SweepLook(
        k=index("k", layers + 1) or 0,
        metric=index("metric", metrics) or 0,
        curve=index("curve", curves) or 0,
        which=next((one for one in WHICH if one == which), "flips"),
        item=index("item", items),
        difference=values.get("difference") is True,
    )
