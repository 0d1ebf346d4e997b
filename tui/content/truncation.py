"""The truncation curve and the cliff."""

from __future__ import annotations

import numpy as np

from flowtui.engine.cliff import find_cliff
from flowtui.engine.results import LayerResult, Run

from .parts import Summary, each, layers_of


def content(run: Run, layer: int | None) -> Summary | None:
    """What becomes of the answer with the image cut at each K."""
    analysis = run.analyses.get("truncation")
    if analysis is None:
        return None
    ks = layers_of(run, "truncation", layer)
    return {
        "strategy": analysis.parameters.get("strategy", "all"),
        "k": ks,
        "logprob": each(analysis, ks, lambda r: float(r.arrays["logprob"].sum(dtype=np.float64))),
        "kl": each(analysis, ks, mean_kl),
        "same_answer": each(analysis, ks, lambda r: bool(r.arrays["same"])),
        "text": each(analysis, ks, lambda r: r.text),
    }


def cliff(run: Run) -> Summary | None:
    """The cliff; None while the curve is not complete."""
    analysis = run.analyses.get("truncation")
    found = None if analysis is None else find_cliff(analysis, run.model.layers)
    return None if found is None else {"k": found.k, "rule": found.rule, "eta": found.eta}


def mean_kl(result: LayerResult) -> float | None:
    """KL(full || truncated) per answer token at one K, nats; None where the answer has no token."""
    kl = np.asarray(result.arrays["kl"], dtype=np.float64)
    return float(kl.mean()) if kl.size else None
