"""A data set as a sweep and a score see it: questions in a fixed order, each with image and truth. Torch-free."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np

from .prompts import Prompt

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Item:
    """One question.

    Attributes:
        id: Unique in its data set.
        image: The name that the data set's images know it by; None: text only.
        cluster: What questions that are not independent share, the image as a rule: the bootstrap draws these.
        prompt: The user's complete text.
        truth: What the metric judges by, as plain data (str, int, lists of them).
        kind: Category for reports.
    """

    id: str
    image: str | None
    cluster: str
    prompt: str
    truth: Mapping[str, Any]
    kind: str


class Images(Protocol):
    """Where a data set's images come from; can be pickled, so that workers elsewhere can ask too."""

    def read(self, name: str) -> bytes:
        """An image, encoded; it is as trustworthy as where it comes from, so decode it with `engine.images`."""


@dataclass(frozen=True)
class Dataset:
    """A data set, opened.

    Attributes:
        name: "pope", "textvqa", ...: also the metric's name.
        items: In the official order.
        images: None where the data set was opened without images, to score.
        prompt: How questions became prompts; None where they were taken as they are.
        options: What else the items depend on (seed, limit, split ...), as plain data, to be recorded.
        notes: What a user should know: images that are missing, rows that are not what they should be.
    """

    name: str
    items: tuple[Item, ...]
    images: Images | None = None
    prompt: Prompt | None = None
    options: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def image_bytes(self, item: Item) -> bytes | None:
        """The item's image, encoded; None for text only.

        Raises:
            UsageError: It cannot be read.
        """
        if item.image is None:
            return None
        if self.images is None:
            raise ValueError(f"{self.name} was opened without images")
        return self.images.read(item.image)

    @cached_property
    def digest(self) -> str:
        """Hash over everything that is asked, everything that is true, and every image; reads them all, once.

        Raises:
            UsageError: An image cannot be read.
        """
        state = blake2b(self.name.encode(), digest_size=_DIGEST_BYTES)
        seen: set[str | None] = set()
        for item in self.items:
            known = [item.id, item.image, item.cluster, item.prompt, dict(item.truth), item.kind]
            state.update(json.dumps(known, sort_keys=True).encode())
            if self.images is not None and item.image not in seen:
                seen.add(item.image)
                state.update(blake2b(self.image_bytes(item) or b"").digest())
        return state.hexdigest()


def groups(items: Sequence[Item]) -> Iterator[tuple[int, ...]]:
    """Yields the items of each image, as indices, in the order of their first item; text-only items one by one."""
    found: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        found.setdefault(f"text {i}" if item.image is None else f"image {item.image}", []).append(i)
    yield from map(tuple, found.values())


def draw(items: Sequence[Item], limit: int | None, seed: int | None) -> tuple[Item, ...]:
    """Some of the items, in their own order.

    Args:
        items: All of them.
        limit: How many; None: all.
        seed: None: the first ones; else whole clusters in random order until there are enough.
    """
    if limit is None or limit >= len(items):
        return tuple(items)
    if seed is None:
        return tuple(items[:limit])
    clusters: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        clusters.setdefault(item.cluster, []).append(i)
    order = np.random.default_rng(seed).permutation(len(clusters))
    members = list(clusters.values())
    chosen = [i for cluster in order for i in members[cluster]][:limit]
    return tuple(items[i] for i in sorted(chosen))
