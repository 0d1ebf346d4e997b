"""Scores of a data set's answers, in all and by kind. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowtui.engine.datasets.items import Item

from .metric import Counts, Metric, total


@dataclass(frozen=True, slots=True)
class Part:
    """The scores of some items.

    Attributes:
        items: How many of them count.
        clusters: How many different images they are about.
        values: Score by metric; None where nothing counts.
        sums: Numerator and denominator by metric.
    """

    items: int
    clusters: int
    values: Mapping[str, float | None]
    sums: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Score:
    """A data set's scores.

    Attributes:
        whole: Over all items.
        kinds: By kind, in the order of their first items.
    """

    whole: Part
    kinds: Mapping[str, Part]


def score(metric: Metric, items: Sequence[Item], texts: Sequence[str | None], *, silent_is_wrong: bool) -> Score:
    """Judges answers.

    Args:
        metric: The data set's.
        items: Its questions.
        texts: Their answers; None where there is none.
        silent_is_wrong: Whether a question without an answer counts as answered wrongly, or not at all.
    """
    judged = [
        (item, metric.counts(item, text or ""))
        for item, text in zip(items, texts, strict=True)
        if text is not None or silent_is_wrong
    ]
    kinds: dict[str, list[tuple[Item, Counts]]] = {}
    for item, counts in judged:
        kinds.setdefault(item.kind, []).append((item, counts))
    return Score(_part(judged, metric), {kind: _part(members, metric) for kind, members in kinds.items()})


def _part(judged: Sequence[tuple[Item, Counts]], metric: Metric) -> Part:
    counted = [counts for _, counts in judged]
    sums = {
        name: (sum(counts[name][0] for counts in counted), sum(counts[name][1] for counts in counted))
        for name in metric.names
    }
    return Part(len(judged), len({item.cluster for item, _ in judged}), total(counted, metric.names), sums)
