"""Counts the bytes of tensors alive while code runs, by torch's own books: exact, and the same at every run."""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Inside, every storage that an operation makes is counted from its making to its end.

    Attributes:
        peak: The most bytes alive at once, of what was made inside.
        at_peak: Bytes by shape and type alive at that time, for looking into a peak.
    """

    def __init__(self, *, look: bool = False) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.look = look
        self.alive: dict[int, tuple[int, str]] = {}
        self.at_peak: dict[str, int] = {}
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)

    def before(self, *tensors: torch.Tensor) -> None:
        """Tensors that were there before and are not to be counted."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = weakref.ref(storage, self._end(storage._cdata, 0))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What goes in was there before: weights, inputs, and what this mode has counted already.
        for value in tree_iter((args, kwargs)):
            if isinstance(value, torch.Tensor) and value.untyped_storage()._cdata not in self._known:
                self.before(value)
        made = func(*args, **(kwargs or {}))
        for value in tree_iter(made):
            if isinstance(value, torch.Tensor):
                self._count(value, str(func))
        return made

    def _count(self, tensor: torch.Tensor, name: str) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or not size:
            return
        self._known[key] = weakref.ref(storage, self._end(key, size))
        self.now += size
        if self.look:
            self.alive[key] = size, f"{name} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
        if self.now > self.peak:
            self.peak = self.now
            if self.look:
                self.at_peak = {}
                for many, what in self.alive.values():
                    self.at_peak[what] = self.at_peak.get(what, 0) + many

    def _end(self, key: int, size: int) -> Any:
        def forget(_: object) -> None:
            self._known.pop(key, None)
            self.alive.pop(key, None)
            self.now -= size

        return forget
