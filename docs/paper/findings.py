"""The numbers that the page speaks about, each reduced from what flowtui printed. Pure."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ETA = 0.05
"""Mean KL in nats up to which an item's answer counts as unchanged (docs/method.md, "Cliff", One sample)."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Halves:
    """A value over layers, in the two halves of the decoder.

    Attributes:
        shallow, deep: Means over the layers of each half that have a value; NaN where none has.
    """

    shallow: float
    deep: float

    @property
    def falls(self) -> bool:
        """Whether it is larger in the shallow half."""
        return self.shallow > self.deep


def halves(values: Values) -> Halves:
    """Means over the shallow and the deep half; of an odd number the middle layer is deep."""
    middle = len(values) // 2
    return Halves(mean(values[:middle]), mean(values[middle:]))


def mean(values: Values) -> float:
    """Mean of the values that are there; NaN where none is."""
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else math.nan


def lowest(share: Mapping[str, Sequence[float]]) -> int:
    """Layers in which the image has less of the attention than system and user each.

    Args:
        share: One run's shares by group, [L] each.
    """
    return sum(i < s and i < u for i, s, u in zip(share["image"], share["system"], share["user"], strict=True))


@dataclass(frozen=True, slots=True)
class Aim:
    """How well a run's CAM hits the thing that its answer is about.

    Attributes:
        box: Part of the picture that the thing's box takes: what an even map has in it.
        mass: [L] part of the heat inside the box; None where the map is zero.
        hits: Layers whose hottest cell lies in the box.
        cliff: The run's own cliff, or None.
    """

    box: float
    mass: tuple[float | None, ...]
    hits: int
    cliff: int | None

    @property
    def above(self) -> int:
        """Layers with more heat in the box than an even map has."""
        return sum(value is not None and value > self.box for value in self.mass)

    @property
    def maps(self) -> int:
        """Layers whose map is not zero."""
        return sum(value is not None for value in self.mass)

    @property
    def always_before_cliff(self) -> bool:
        """Whether every layer before the cliff has more in the box than an even map; all layers without a cliff."""
        upto = len(self.mass) if self.cliff is None else self.cliff
        there = [value for value in self.mass[:upto] if value is not None]
        return bool(there) and all(value > self.box for value in there)


def aim_of(content: dict[str, Any]) -> Aim:
    """Of a run that was shown with a box."""
    cam = content["cam"]
    hits = sum(hit is True for hit in cam["pointing"])
    return Aim(content["mask"]["share"], tuple(cam["mass_in_box"]), hits, content["cliff"]["k"])


def row_of(content: dict[str, Any], metric: str, cut: str = "all") -> dict[str, Any]:
    """One line of a sweep's table.

    Raises:
        KeyError: The sweep has none of this metric and cut.
    """
    for row in content["rows"]:
        if (row["metric"], row["cut"]) == (metric, cut):
            return dict(row)
    raise KeyError(f"{metric}, {cut}")


def trait_mean(traits: dict[str, Any], name: str) -> list[float | None]:
    """A trait's mean over all items, layer by layer, from the means of the groups and their sizes."""
    groups, values = traits["items"], traits["values"][name]
    found: list[float | None] = []
    for layer in range(len(values["difference"])):
        there = [(groups[g], values[g][layer]) for g in groups if values[g][layer] is not None]
        total = sum(count for count, _ in there)
        found.append(sum(count * value for count, value in there) / total if total else None)
    return found


@dataclass(frozen=True, slots=True)
class Blind:
    """Items of a sweep for which the picture does not matter: the whole curve is flat down to K = 0.

    Attributes:
        items: All of them.
        flat: With the same answer and a KL of at most `ETA` at every K.
        same: With the same answer at K = 0, whatever the KL.
    """

    items: int
    flat: int
    same: int


def blind_items(path: Path) -> Blind:
    """Counts them in a sweep's items.csv, cut "all"."""
    flat: dict[str, bool] = {}
    same: dict[str, bool] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["cut"] == "all":
                unchanged = row["same"] == "True"
                flat[row["id"]] = flat.get(row["id"], True) and unchanged and float(row["kl"]) <= ETA
                if row["k"] == "0":
                    same[row["id"]] = unchanged
    return Blind(len(flat), sum(flat.values()), sum(same.values()))
