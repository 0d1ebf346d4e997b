"""Which tokens remain when the image is cut after K layers, by strategy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from flowtui.errors import UsageError

from ._record import Recording
from .inputs import Inputs
from .loaded import Loaded
from .rows import Chunk, Watch, watch
from .spec import TruncationParameters


class Kept:
    """Which tokens remain at each K.

    Attributes:
        size: How many.
    """

    def __init__(self, loaded: Loaded, inputs: Inputs, parameters: TruncationParameters) -> None:
        self.loaded, self.strategy = loaded, parameters.strategy
        self.image = inputs.image_positions
        self.r = 0 if parameters.strategy == "all" else parameters.r
        n, device = len(self.image), self.image.device
        if not 0 <= self.r <= n:
            raise UsageError(f"r is {self.r}, but the prompt has {n} image tokens.", f"Use r from 0 to {n}.")
        everything = torch.arange(inputs.length, device=device)
        self.text = everything[~torch.isin(everything, self.image)]
        self.last_row = inputs.prompt_length - 1
        if bool((self.image == self.last_row).any()):
            raise UsageError(
                "The prompt ends in an image token, so nothing is left to predict the answer once the image is cut.",
                "Put the question after the image.",
            )
        self.size = len(self.text) + self.r
        self.drawn = self.image[:0]
        if parameters.strategy == "random-r":
            order = torch.randperm(n, generator=torch.Generator().manual_seed(parameters.seed))
            self.drawn = self.image[order[: self.r].to(device)]
        self.ranking: dict[int, Tensor] = {}

    def watching(self, ks: Sequence[int]) -> AbstractContextManager[None]:
        """Reads the attention that top-r ranks by."""
        if self.strategy != "top-r" or not self.r:
            return nullcontext()
        ranked_by = sorted({self._ranked_by(k) for k in ks})
        return watch(self.loaded, Watch(torch.tensor([self.last_row], device=self.image.device), ranked_by, self._rank))

    def _ranked_by(self, k: int) -> int:
        """The layer whose attention ranks the image tokens for K: the last one before K that has attention."""
        before = [layer for layer in self.loaded.attending if layer < k]
        return before[-1] if before else next(iter(self.loaded.attending))

    def _rank(self, chunk: Chunk) -> None:
        self.ranking[chunk.layer] = chunk.weights[:, 0].mean(0)[self.image]

    def positions(self, k: int) -> Tensor:
        """Positions that remain from layer K on, ascending: [size]."""
        chosen = self.drawn
        if self.strategy == "top-r" and self.r:
            order = self.ranking[self._ranked_by(k)].argsort(descending=True, stable=True)
            chosen = self.image[order[: self.r]]
        return torch.cat([self.text, chosen]).sort().values

    def unmoved(self, recording: Recording) -> Tensor:
        """Positions that no cut of the image can reach, such as the text before it: [C]."""
        touched = torch.zeros(recording.calls[0].length, dtype=torch.bool, device=self.image.device)
        touched[self.image] = True
        return (~recording.changed_by(touched)).nonzero()[:, 0]
