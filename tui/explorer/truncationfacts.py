"""Numbers of the truncation view beside the curve itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import Run
from flowtui.tui.text import visible

from .derived import Derived


class TruncationFacts:
    """What one run's answer becomes at each K = 0..L.

    Attributes:
        texts: Greedy answer at each K, safe to show; None where missing.
    """

    def __init__(self, run: Run) -> None:
        found = run.analyses.get("truncation")
        results = {} if found is None else dict(found.layers)
        count = run.model.layers + 1
        self.texts = tuple(visible(results[k].text).strip() if k in results else None for k in range(count))
        self._logprob: NDArray[np.float64] = np.full((count, len(run.answer.tokens)), np.nan)
        for k, result in results.items():
            self._logprob[k] = result.arrays["logprob"]
        self._known = np.array([text is not None for text in self.texts])

    def logprob(self, token: int | None) -> NDArray[np.float64]:
        """Log-probability of the full model's answer, or of one token of it, at each K: [L+1] nats, NaN if missing."""
        values = self._logprob.sum(axis=1) if token is None else self._logprob[:, token]
        return np.where(self._known, values, np.nan)

    def ranked(self, kl: NDArray[np.floating]) -> list[int]:
        """Each K where the KL is lower than at K - 1, the one first where it falls most."""
        fall = kl[:-1] - kl[1:]
        known = np.flatnonzero(fall > 0)
        return [int(i) + 1 for i in known[np.argsort(-fall[known], kind="stable")]]


truncation_facts = Derived(TruncationFacts)
