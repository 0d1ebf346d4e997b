"""A sweep as its view needs it: scores over K, and which items flip; no drawing."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.noninferiority import Curve
from flowtui.engine.sweeps.result import CurveSet, Sweep
from flowtui.tui.sweepcurves import counted_metrics, is_share, margin_of, sweep_curve
from flowtui.tui.text import visible

from .sweeplook import SweepLook

Floats = NDArray[np.float64]
MAX_TRUTH = 6
"""So many of several true answers are said."""


class SweepFacts:
    """Derived numbers of one immutable sweep.

    Attributes:
        sweep: The sweep.
        layers: Decoder layers L.
        names: The metrics that are counted.
        metrics: Their names, safe to show.
        labels: Names of the ways of cutting, safe to show.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.layers = sweep.layers
        # Those that no item with an image has a part in have no curve; where that is all of them, so it is said.
        self.names = counted_metrics(sweep) or tuple(sweep.metrics)
        self.metrics = tuple(visible(name) for name in self.names)
        self.labels = tuple(visible(curve.label) for curve in sweep.curves)
        self._counts: dict[tuple[int, int], tuple[Floats, Floats]] = {}
        self._found: dict[tuple[int, int], Curve] = {}
        self._listed: dict[tuple[object, ...], NDArray[np.intp]] = {}

    @cached_property
    def counted(self) -> NDArray[np.intp]:
        """Indices of the items that have an image to cut: only they are part of the curves."""
        return np.flatnonzero(self.sweep.with_image)

    @property
    def margin(self) -> float:
        """What a cut may lose, in units of the score."""
        return margin_of(self.sweep)

    def part(self, look: SweepLook) -> int:
        """How many items have an image and a part in the metric."""
        return int(((self.counts(look)[1] > 0).any(axis=1) & self.sweep.with_image).sum())

    def lower_is_better(self, look: SweepLook) -> bool:
        """Whether a smaller score is a better one."""
        return self.sweep.metrics[self.names[look.metric]]

    def unit(self, look: SweepLook) -> tuple[float, str]:
        """What a score is multiplied by to be shown, and the unit then."""
        return (100.0, " %") if is_share(self.sweep, self.names[look.metric]) else (1.0, "")

    def curve_set(self, look: SweepLook) -> CurveSet:
        """The way of cutting that is looked at."""
        return self.sweep.curves[look.curve]

    def counts(self, look: SweepLook) -> tuple[Floats, Floats]:
        """Numerators and denominators: [items L+1] each."""
        key = (look.metric, look.curve)
        if key not in self._counts:
            self._counts[key] = self.sweep.counts(self.names[look.metric], self.curve_set(look))
        return self._counts[key]

    def score(self, look: SweepLook) -> Floats:
        """The score at each K, a ratio of sums: [L+1], NaN where there is nothing to count."""
        over, under = (part[self.counted].sum(axis=0) for part in self.counts(look))
        return _ratio(over, under, np.nan)

    def item_score(self, look: SweepLook, item: int, k: int) -> float:
        """What one item counts for at K; NaN where it is not counted."""
        over, under = (float(part[item, k]) for part in self.counts(look))
        return over / under if under > 0 else float("nan")

    def changes(self, look: SweepLook) -> NDArray[np.int8]:
        """[items] at the current K: -1 where an item's score gets worse by the cut, 1 better, 0 neither."""
        good = 0.0 if self.lower_is_better(look) else 1.0
        at_k, whole = (self._each(look, k, good) for k in (look.k, self.layers))
        change = np.sign(whole - at_k if self.lower_is_better(look) else at_k - whole)
        return np.where(self.sweep.with_image, change, 0).astype(np.int8)

    def _each(self, look: SweepLook, k: int, empty: float) -> Floats:
        """Each item's score at K; one that has nothing to count has made no mistake."""
        over, under = (part[:, k] for part in self.counts(look))
        return _ratio(over, under, empty)

    def listed(self, look: SweepLook) -> NDArray[np.intp]:
        """Indices of the items that the list shows at the current K, in the order of the data set."""
        key = (look.metric, look.curve, look.k, look.which)
        if key not in self._listed:
            if len(self._listed) > 4 * self.layers:
                self._listed.clear()
            self._listed[key] = np.flatnonzero(self._wanted(look))
        return self._listed[key]

    def _wanted(self, look: SweepLook) -> NDArray[np.bool_]:
        image = self.sweep.with_image
        if look.which == "all":
            return np.ones_like(image)
        if look.which == "answers":
            text = self.curve_set(look).text
            return np.asarray(image & (text[:, look.k] != text[:, -1]), dtype=np.bool_)
        if look.which == "flips":
            over, under = self.counts(look)
            differ = (over[:, look.k] != over[:, -1]) | (under[:, look.k] != under[:, -1])
            return np.asarray(image & differ, dtype=np.bool_)
        change = self.changes(look)
        return np.asarray(change < 0 if look.which == "lost" else change > 0)

    def current(self, look: SweepLook) -> int | None:
        """The item under the cursor: the one chosen, or the nearest that is listed; None where none is."""
        listed = self.listed(look)
        if not len(listed):
            return None
        wanted = 0 if look.item is None else look.item
        return int(listed[min(int(np.searchsorted(listed, wanted)), len(listed) - 1)])

    def moved(self, look: SweepLook, items: int) -> SweepLook:
        """Some items on in the list, or back."""
        listed, now = self.listed(look), self.current(look)
        if now is None:
            return look
        at = max(0, min(int(np.searchsorted(listed, now)) + items, len(listed) - 1))
        return replace(look, item=int(listed[at]))

    def ranked(self, look: SweepLook) -> list[int]:
        """Each K at which the score is better than at K - 1, the one first where it gains most."""
        score = -self.score(look) if self.lower_is_better(look) else self.score(look)
        gain = np.nan_to_num(np.diff(score))
        known = np.flatnonzero(gain > 0)
        return [int(i) + 1 for i in known[np.argsort(-gain[known], kind="stable")]]

    # The cliff

    def found(self, look: SweepLook) -> Curve | None:
        """The curve with its bands and cliff, once it has been found."""
        return self._found.get((look.metric, look.curve))

    def find(self, look: SweepLook) -> Curve:
        """Finds the bands and the cliff: takes a second or so, and may run in a thread.

        Raises:
            UsageError: There is nothing to find them from.
        """
        found = sweep_curve(self.sweep, self.names[look.metric], self.curve_set(look))
        self._found[look.metric, look.curve] = found
        return found

    # Words

    def text(self, look: SweepLook, item: int, k: int) -> str:
        """What the model says to an item at K, safe to show."""
        return visible(self.sweep.text(self.curve_set(look), item, k)).strip() or "(no text)"

    def truth(self, item: int) -> str:
        """What is true of an item, safe to show."""
        return visible(truth_words(self.sweep.items[item].truth))


def _ratio(over: Floats, under: Floats, empty: float) -> Floats:
    """One by the other, `empty` where there is nothing to count."""
    made = np.full(over.shape, empty)
    np.divide(over, under, out=made, where=under > 0)
    return made


def truth_words(truth: object) -> str:
    """What a metric goes by, in a few words: the values alone, each once."""
    if isinstance(truth, dict):
        choices, answer = truth.get("choices"), truth.get("answer")
        if isinstance(choices, list) and type(answer) is int and 0 <= answer < len(choices):
            return f"{chr(ord('A') + answer)} · {choices[answer]}"
        parts = [words for value in truth.values() if (words := truth_words(value))]
        return " · ".join(parts)
    if isinstance(truth, (list, tuple)):
        each = list(dict.fromkeys(truth_words(value) for value in truth))
        more = f" and {len(each) - MAX_TRUTH} more" if len(each) > MAX_TRUTH else ""
        return ", ".join(each[:MAX_TRUTH]) + more
    return "" if truth is None else str(truth)
