"""What the answer loses when connections are cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import LayerResult, Run
from flowtui.engine.shapes import EDGES

from .parts import Summary, each, layers_of, one


def content(run: Run, layer: int | None) -> Summary | None:
    """The answer's change for each edge, cut in a window around each layer; of one layer also each answer token's."""
    analysis = run.analyses.get("knockout")
    if analysis is None:
        return None
    layers = layers_of(run, "knockout", layer)
    logs = each(analysis, layers, logprob_change)
    probs = each(analysis, layers, prob_change)
    edges: dict[str, Summary] = {
        edge: {
            "logprob": [None if v is None else float(v[i]) for v in logs],
            "prob": [None if v is None else float(v[i]) for v in probs],
        }
        for i, edge in enumerate(EDGES)
    }
    result = one(analysis, layer)
    if result is not None:
        change = _float64(result, "logprob") - _float64(result, "base")
        for i, edge in enumerate(EDGES):
            edges[edge]["answer_tokens"] = change[i].tolist()
    return {"window": analysis.parameters.get("window"), "edges": edges}


def logprob_change(result: LayerResult) -> NDArray[np.float64] | None:
    """Change of the answer's log-probability, summed over its tokens: [4] nats, negative is a loss.

    None where the answer has no token, here and below.
    """
    logs = _float64(result, "logprob")
    return (logs - _float64(result, "base")).sum(axis=1) if logs.size else None


def prob_change(result: LayerResult) -> NDArray[np.float64] | None:
    """Change of the whole answer's probability: [4], -1 to 1."""
    logs = _float64(result, "logprob")
    return _probability(logs.sum(axis=1)) - _probability(_float64(result, "base").sum()) if logs.size else None


def _float64(result: LayerResult, name: str) -> NDArray[np.float64]:
    return np.asarray(result.arrays[name], dtype=np.float64)


def _probability(logprob: NDArray[np.float64]) -> NDArray[np.float64]:
    # No probability passes 1, whatever a rounded or a foreign number says.
    return np.exp(np.minimum(logprob, 0.0))
