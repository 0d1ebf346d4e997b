"""Numbers of the flow view: saliency into the answer per layer, and what the answer loses when connections are cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, Run
from flowtui.engine.shapes import EDGES

from .derived import Derived
from .look import Scale

SOURCES = ("image", "user", "system")
"""Groups that flow into the answer, in the order of the bands from the bottom."""


class FlowFacts:
    """Flows of one run.

    Attributes:
        flow: [L 3] mean saliency per pair of tokens from each of `SOURCES` to the answer; NaN where missing.
        share: [L 3] the same divided by the layer's sum; 0 where that is zero.
        to_user: [L] mean saliency per pair from the image to the user's text.
        window: Layers that a knockout cuts at once; None without a knockout.
    """

    def __init__(self, run: Run) -> None:
        layers = run.model.layers
        answer, user, image = (GROUPS.index(name) for name in ("answer", "user", "image"))
        columns = [GROUPS.index(name) for name in SOURCES]
        self.flow: NDArray[np.float64] = np.full((layers, len(SOURCES)), np.nan)
        self.to_user: NDArray[np.float64] = np.full(layers, np.nan)
        saliency = run.analyses.get("saliency")
        for layer, result in saliency.layers.items() if saliency else ():
            flow = np.asarray(result.arrays["flow"], dtype=np.float64)
            self.flow[layer] = flow[answer, columns]
            self.to_user[layer] = flow[user, image]
        total = self.flow.sum(axis=1, keepdims=True)
        self.share: NDArray[np.float64] = np.where(
            total == 0, 0.0, np.divide(self.flow, total, out=np.full_like(self.flow, np.nan), where=total != 0)
        )
        knockout = run.analyses.get("knockout")
        self.window: int | None = None if knockout is None else int(knockout.parameters["window"])
        self._tokens = len(run.answer.tokens)
        self._lost: NDArray[np.float64] = np.full((layers, len(EDGES), self._tokens), np.nan)
        for layer, result in knockout.layers.items() if knockout else ():
            cut = np.asarray(result.arrays["logprob"], dtype=np.float64)
            self._lost[layer] = cut - np.asarray(result.arrays["base"], dtype=np.float64)

    @property
    def top(self) -> float:
        """The largest sum of a layer's flows, 0 where there is none."""
        known = self.flow[np.isfinite(self.flow).all(axis=1)]
        return float(known.sum(axis=1).max()) if len(known) else 0.0

    @property
    def decades(self) -> tuple[float, float]:
        """The ends of a log scale, six powers of ten apart at most; (1, 1) where nothing flows."""
        positive = self.flow[np.isfinite(self.flow) & (self.flow > 0)]
        if not len(positive):
            return 1.0, 1.0
        high = float(positive.max())
        return max(float(positive.min()) / 2, high / 1e6), high

    def heights(self, scale: Scale) -> NDArray[np.float64]:
        """The bands' widths as parts of the room they have: [L 3] in 0..1, NaN where missing.

        Stacked ones ("share", "absolute") sum to 1 at most; of "log" each is a part of its own room.
        """
        if scale == "share":
            return self.share
        if scale == "absolute":
            return self.flow / self.top if self.top > 0 else self.flow
        low, high = self.decades
        with np.errstate(divide="ignore"):
            made = np.log10(self.flow / low) / max(np.log10(high / low), 1e-9)
        # What flows at all is seen.
        return np.asarray(np.clip(made, np.where(self.flow > 0, 1e-6, 0), 1))

    def lost(self, token: int | None) -> NDArray[np.float64]:
        """Change of the answer's log-probability (or one token's) per layer and edge of `EDGES`: [L 4] nats."""
        return self._lost.sum(axis=2) if token is None else self._lost[:, :, token]

    def ranked(self, scale: Scale) -> list[int]:
        """Layers, the one with most flow from the image first."""
        values = (self.share if scale == "share" else self.flow)[:, 0]
        known = np.flatnonzero(np.isfinite(values))
        return [int(i) for i in known[np.argsort(-values[known], kind="stable")]]


flow_facts = Derived(FlowFacts)
