"""The truncation curve, all K, against each K on its own. Run: python -m benchmarks.truncation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.sides import parse, prepare_sides, print_ratios, time_sides
from flowtui.engine import truncation
from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded
from flowtui.engine.spec import TruncationParameters


@torch.no_grad()
def forward(loaded: Loaded, inputs: Inputs) -> None:
    """One plain forward pass."""
    loaded.model(**inputs.model_inputs, use_cache=False, logits_to_keep=inputs.answer_rows)


def curve(loaded: Loaded, inputs: Inputs) -> None:
    """Log-probabilities and KL for every K."""
    truncation.run(
        loaded, inputs, TruncationParameters(), range(len(loaded.layers) + 1), lambda r: None, lambda k, fraction: None
    )


@torch.no_grad()
def one_by_one(loaded: Loaded, inputs: Inputs, *, drop: bool) -> None:
    """For each K a forward pass of its own, image tokens dropped before layer K or masked from layer K on.

    A Llama decoder's causal order is enough for dropping: no mask is built.
    """
    everything = torch.arange(inputs.length, device=loaded.device)
    text = everything[~torch.isin(everything, inputs.image_positions)]
    rows = torch.searchsorted(text, inputs.answer_rows) if drop else inputs.answer_rows
    hidden_keys = torch.ones(inputs.length, inputs.length, dtype=torch.bool, device=loaded.device).tril()
    hidden_keys[:, inputs.image_positions] = False
    hidden_keys.fill_diagonal_(True)

    for k in range(len(loaded.layers) + 1):

        def enter(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], k: int = k) -> tuple[Any, Any]:
            index = layer.self_attn.layer_idx
            if not drop and index >= k:
                return args, {**kwargs, "attention_mask": hidden_keys[None, None]}
            if drop and index >= k:
                cos, sin = kwargs["position_embeddings"]
                stream = args[0] if index > k else args[0][:, text]
                positions = {"position_embeddings": (cos[:, text], sin[:, text])}
                return (stream,), {**kwargs, "attention_mask": None, **positions}
            return args, kwargs

        handles = [layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in loaded.layers]
        try:
            kept = rows if k < len(loaded.layers) else inputs.answer_rows
            logits = loaded.model(**inputs.model_inputs, use_cache=False, logits_to_keep=kept).logits
            logits.float().log_softmax(-1)
        finally:
            for handle in handles:
                handle.remove()


def main() -> None:
    """Prints the sides."""
    options = parse(__doc__ or "")
    loaded, inputs = prepare_sides(options)
    with_text = lambda: curve(loaded, inputs)  # noqa: E731
    decode = truncation.decode

    def without_text() -> None:
        # Both slow sides give log-probabilities only; greedy text would cost them a pass per K and token.
        truncation.decode = lambda *_: None
        try:
            curve(loaded, inputs)
        finally:
            truncation.decode = decode

    sides = {
        "one forward": lambda: forward(loaded, inputs),
        "whole curve": without_text,
        "whole curve with greedy text": with_text,
        "dropping per K": lambda: one_by_one(loaded, inputs, drop=True),
        "masking per K": lambda: one_by_one(loaded, inputs, drop=False),
    }
    medians = time_sides(loaded, sides, options.repeats)
    print_ratios(loaded, inputs, medians, one="whole curve", forward="one forward")


if __name__ == "__main__":
    main()
