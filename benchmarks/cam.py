"""LLaVA-CAM of all layers against one forward and backward pass per layer. Run: python -m benchmarks.cam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.sides import parse, prepare_sides, print_ratios, time_sides
from flowtui.engine import cam
from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded
from flowtui.engine.spec import CamParameters


@torch.no_grad()
def forward(loaded: Loaded, inputs: Inputs) -> None:
    """One plain forward pass."""
    loaded.model(**inputs.model_inputs, use_cache=False, logits_to_keep=inputs.answer_rows)


def maps(loaded: Loaded, inputs: Inputs, *, per_token: bool) -> None:
    """Every layer's map."""
    parameters = CamParameters(per_token=per_token)
    cam.run(loaded, inputs, parameters, range(len(loaded.layers)), lambda r: None, lambda layer, fraction: None)


def one_by_one(loaded: Loaded, inputs: Inputs, *, parameters_too: bool) -> None:
    """For each layer a pass of its own, as CAM libraries do; where nothing is frozen, parameters get gradients too."""
    loaded.model.requires_grad_(parameters_too)
    try:
        for layer in loaded.layers:
            kept: list[Tensor] = []

            def keep(_: nn.Module, __: object, output: Any, kept: list[Tensor] = kept) -> Tensor:
                tensor: Tensor = output if parameters_too else output.detach().requires_grad_()
                tensor.retain_grad()
                kept.append(tensor)
                return tensor

            handle = layer.post_attention_layernorm.register_forward_hook(keep)
            try:
                logits = loaded.model(**inputs.model_inputs, use_cache=False, logits_to_keep=inputs.answer_rows).logits
                logits[0].float().gather(-1, inputs.answer_ids[:, None]).sum().backward()
            finally:
                handle.remove()
            gradient = kept[0].grad
            assert gradient is not None
            image = inputs.image_positions
            cam.weigh(kept[0].detach()[0, image], gradient[0, image], "paper")
            loaded.model.zero_grad()
    finally:
        loaded.model.requires_grad_(False)


def main() -> None:
    """Prints the sides."""
    options = parse(__doc__ or "")
    loaded, inputs = prepare_sides(options)
    sides = {
        "one forward": lambda: forward(loaded, inputs),
        "all layers": lambda: maps(loaded, inputs, per_token=False),
        f"all layers, {len(inputs.answer_ids)} tokens each on its own": lambda: maps(loaded, inputs, per_token=True),
        "one pass per layer, gradient from that layer": lambda: one_by_one(loaded, inputs, parameters_too=False),
        "one pass per layer, nothing frozen": lambda: one_by_one(loaded, inputs, parameters_too=True),
    }
    medians = time_sides(loaded, sides, options.repeats)
    print_ratios(loaded, inputs, medians, one="all layers", forward="one forward")


if __name__ == "__main__":
    main()
