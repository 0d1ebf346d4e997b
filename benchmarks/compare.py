"""Takes results apart so that two sides can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowtui.engine.results import LayerResult


def stack(results: Sequence[LayerResult], array: str) -> Tensor:
    """One array of every layer: [L ...]."""
    return torch.stack([torch.as_tensor(result.arrays[array]) for result in results])


def relative(made: Tensor, real: Tensor) -> float:
    """Largest absolute difference, relative to the largest value."""
    real = real.detach().double().cpu()
    return float((made.double().cpu() - real).abs().max() / real.abs().max())
