"""A model's logits at chosen rows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor

from .loaded import Loaded


def run_model(loaded: Loaded, model_inputs: Mapping[str, Tensor], rows: Tensor) -> Tensor:
    """One forward call of the model: its own logits at `rows` [R], [R vocab] float32."""
    if "logits_to_keep" in inspect.signature(loaded.model.forward).parameters:
        # Not all N rows: their logits can be larger than everything else in the pass.
        logits: Tensor = loaded.model(**model_inputs, use_cache=False, logits_to_keep=rows).logits[0]
    else:
        logits = loaded.model(**model_inputs, use_cache=False).logits[0, rows]
    return at_least_float32(logits)


def head(loaded: Loaded, hidden: Tensor) -> Tensor:
    """Residual stream after the last layer [... d] -> logits [... vocab] in float32."""
    return at_least_float32(loaded.head(hidden))


def likeliest(loaded: Loaded, logits: Tensor) -> Tensor:
    """The token that greedy decoding takes, for logits [... vocab]: [...] int64.

    As in `Loaded.generate`, the image placeholder is never an answer.
    """
    placeholder = torch.tensor([loaded.image_token_id], device=logits.device)
    return logits.index_fill(-1, placeholder, -torch.inf).argmax(-1)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32; float64, where a model is loaded in it, stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
