"""Attention shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS, LayerResult, Run

from .parts import Summary, each, layers_of, one


def content(run: Run, layer: int | None) -> Summary | None:
    """Shares of each group at each layer; of one layer also every head's and every answer token's."""
    analysis = run.analyses.get("attention")
    if analysis is None:
        return None
    shares = each(analysis, layers_of(run, "attention", layer), mean_share)
    made: Summary = {
        "rule": "all",
        "rows": analysis.parameters.get("rows", "predict"),
        "share": {g: [None if s is None else float(s[i]) for s in shares] for i, g in enumerate(GROUPS)},
    }
    result = one(analysis, layer)
    if result is not None and len(run.answer.ids):
        share = np.asarray(result.arrays["share"], dtype=np.float64)
        made["heads"] = _by_group(share.mean(axis=0))
        made["answer_tokens"] = _by_group(share.mean(axis=1))
    return made


def mean_share(result: LayerResult) -> NDArray[np.float64] | None:
    """Attention shares of one layer, mean over answer tokens and heads: [4] float64, in the order of `GROUPS`.

    None where the answer has no token, and so no row to take a mean over.
    """
    share = np.asarray(result.arrays["share"], dtype=np.float64)
    return share.mean(axis=(0, 1)) if share.size else None


def _by_group(rows: NDArray[np.float64]) -> Mapping[str, list[float]]:
    return {g: rows[:, i].tolist() for i, g in enumerate(GROUPS)}
