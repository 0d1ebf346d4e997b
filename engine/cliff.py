"""The cliff of one run: from which layer on the image no longer matters. Torch-free.

Source: the paper's observation that the image can be cut after some layer without changing the answer (section 4); the
rule for one sample is this project's (docs/method.md), because the paper reads its layers off averaged curves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flowtui.errors import UsageError

from .results import Analysis

DEFAULT_ETA_NATS = 0.05


@dataclass(frozen=True, slots=True)
class Cliff:
    """Where the cliff is, and by which rule.

    Attributes:
        k: Smallest qualifying number of leading layers that see the image, 0..L-1; None: no cliff.
        rule: The rule as a sentence.
        eta: Largest mean KL that still counts as the same, nats.
    """

    k: int | None
    rule: str
    eta: float


def describe_rule(eta: float = DEFAULT_ETA_NATS) -> str:
    """The one-sample rule as a sentence."""
    return (
        "The smallest K below L such that for every j >= K greedy decoding with the image cut at j gives the full "
        f"model's answer and the mean KL from the full model stays at or below {eta:g} nats; none if no K qualifies."
    )


def find_cliff(analysis: Analysis, layers: int, eta: float = DEFAULT_ETA_NATS) -> Cliff | None:
    """Applies the one-sample rule to a truncation curve.

    K = L is the untouched model: it always agrees with itself, so on its own it is no cliff.

    Args:
        analysis: A truncation analysis; reads `same` [] and `kl` [T] of each K.
        layers: Decoder layers L.
        eta: Largest mean KL that still counts as the same, nats.

    Returns:
        The cliff, with k None where no K qualifies; None while a K of 0..L is missing.

    Raises:
        UsageError: The analysis is not a truncation, or eta is negative or not a number.
    """
    if analysis.name != "truncation":
        raise UsageError(f"A cliff is read off a truncation curve, not off {analysis.name!r}.")
    if not (eta >= 0 and math.isfinite(eta)):
        raise UsageError(f"eta is {eta}; it must be a number of nats >= 0.")
    if any(k not in analysis.layers for k in range(layers + 1)):
        return None
    lowest = None
    for k in range(layers, -1, -1):
        arrays = analysis.layers[k].arrays
        # A NaN compares false, so a broken row ends the run of agreement instead of passing for it.
        if not (bool(arrays["same"]) and float(np.mean(arrays["kl"], dtype=np.float64)) <= eta):
            break
        lowest = k
    return Cliff(lowest if lowest is not None and lowest < layers else None, describe_rule(eta), eta)
