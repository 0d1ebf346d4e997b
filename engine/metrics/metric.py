"""What a metric is. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from flowtui.engine.datasets.items import Item

Counts = dict[str, tuple[float, float]]
"""Numerator and denominator by metric name; (0, 0) where an item has no part in a metric."""


class Metric(Protocol):
    """A data set's rules. Every score is a ratio of sums over items, so any subset or bootstrap draw has one."""

    @property
    def names(self) -> tuple[str, ...]:
        """Metric names; the first is the one that the data set is known by."""

    def lower_is_better(self, name: str) -> bool:
        """Whether a smaller value is the better one."""

    def is_share(self, name: str) -> bool:
        """Whether the value is a part of one, to be shown in percent."""

    def counts(self, item: Item, text: str) -> Counts:
        """Judges one answer: every name with its numerator and denominator."""


def total(counted: Iterable[Counts], names: Iterable[str]) -> Mapping[str, float | None]:
    """The scores of many answers: sums of numerators over sums of denominators; None where nothing counts."""
    sums = {name: [0.0, 0.0] for name in names}
    for counts in counted:
        for name, pair in counts.items():
            sums[name][0] += pair[0]
            sums[name][1] += pair[1]
    return {name: top / bottom if bottom else None for name, (top, bottom) in sums.items()}
