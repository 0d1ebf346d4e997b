"""Attention shares of the token groups under the normalisations that the explorer offers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import GROUPS

from .look import Norm


def group_shares(arrays: Mapping[str, Any], norm: Norm, token: int | None) -> NDArray[np.float64]:
    """Shares of the groups in every head's row, each row normalised for itself (Eq. 7).

    Args:
        arrays: Of one layer of attention.
        norm: How they are normalised.
        token: Answer token; None for all.

    Returns:
        [T H 4], T = 1 for one token.
    """
    rows = slice(None) if token is None else slice(token, token + 1)
    share = np.array(arrays["value_share" if norm == "value" else "share"][rows], dtype=np.float64)
    if norm == "no-sink":
        share[..., 0] = np.maximum(share[..., 0] - arrays["sink"][rows], 0)
    if norm == "paper":
        share[..., GROUPS.index("answer")] = 0
    total = share.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(share, total, out=np.zeros_like(share), where=total > 0))
