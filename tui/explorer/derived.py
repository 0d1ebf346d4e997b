"""A view's own numbers, kept as long as the facts that they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from flowtui.engine.results import Run

from .facts import Facts

T = TypeVar("T")


class Derived(Generic[T]):
    """Makes numbers once for each `Facts`.

    Args:
        make: Makes them from a run. What it makes must not hold the facts, or neither would ever be let go.
    """

    def __init__(self, make: Callable[[Run], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Facts, T] = WeakKeyDictionary()

    def __call__(self, facts: Facts) -> T:
        """The numbers of these facts."""
        if facts not in self._made:
            self._made[facts] = self._make(facts.run)
        return self._made[facts]
