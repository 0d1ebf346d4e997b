"""LLaVA-CAM: where in the image each layer's answer comes from.

Source: the paper's Eq. 1-5. All layers come from one forward and one backward pass: one tensor per layer is hooked and
the gradient starts at the earliest of them, so neither the vision tower nor earlier layers are differentiated. Where
memory does not hold what all layers keep for it, they are computed again on the way back (`recompute`). Only the
variant "code" departs from the equations; it repeats the released script on purpose (docs/method.md, last section).

In the last layer the post-attention site of an image token has no path to any answer row: its map is exactly zero,
unless the layer's attention reads that site too (parallel blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import ModelError, UnsupportedModelError, UsageError

from ._logits import at_least_float32, run_model
from .budget import recomputing
from .inputs import Inputs
from .loaded import Loaded
from .recompute import recomputed
from .results import LayerResult
from .spec import CamParameters, CamSite, CamVariant

ANALYSIS = "cam"
CODE_THRESHOLD = 0.5

# The norm that feeds the feed-forward block: Gemma's "post attention norm" comes before the residual is added.
SITES: dict[CamSite, tuple[str, ...]] = {
    "post_attention": ("pre_feedforward_layernorm", "post_attention_layernorm", "final_layer_norm", "ffn_norm"),
    "input": ("input_layernorm", "self_attn_layer_norm", "operator_norm"),
    "output": ("",),
    "value": ("v_proj",),
}


def run(
    loaded: Loaded,
    inputs: Inputs,
    parameters: CamParameters,
    layers: Sequence[int],
    on_layer: Callable[[LayerResult], None],
    check: Callable[[int, float], None],
) -> None:
    """Computes the maps; arrays as in `flowtui.engine.results`, not divided by their maximum.

    Args:
        loaded: The model, every parameter frozen.
        inputs: Prompt and answer.
        parameters: Variant, site, and whether to make one map per answer token too.
        layers: Layers wanted.
        on_layer: Gets each layer's result, in ascending order, once the backward passes are done.
        check: Called with (layer, fraction done) in the forward and before each backward pass; may raise to cancel.

    Raises:
        UsageError: A layer out of range.
        UnsupportedModelError: The model has no such site, or no pixel values to put noise on.
        ModelError: The gradients overflow the model's number format.
    """
    wanted = sorted(set(layers))
    if not wanted:
        return
    if wanted[0] < 0 or wanted[-1] >= len(loaded.layers):
        raise UsageError(f"Layers run from 0 to {len(loaded.layers) - 1} here, not {wanted[0]} to {wanted[-1]}.")
    sites = [find_site(loaded, layer, parameters.site) for layer in wanted]
    copies = list(_copies(inputs, parameters)) if parameters.variant == "smooth" else [inputs.model_inputs]
    total = torch.zeros(0)
    for i, model_inputs in enumerate(copies):

        def part(layer: int, fraction: float, i: int = i) -> None:
            check(wanted[layer], (i + fraction) / len(copies))

        heat = _maps(loaded, inputs, model_inputs, wanted, sites, parameters, part)
        total = heat if i == 0 else total + heat
    for index, layer in enumerate(wanted):
        on_layer(LayerResult(ANALYSIS, layer, {"heat": (total[:, index] / len(copies)).cpu().numpy()}))


def find_site(loaded: Loaded, layer: int, site: CamSite) -> nn.Module:
    """The module whose output is the feature map of a layer.

    "post_attention" is the norm that feeds the feed-forward block. In parallel blocks (Cohere, Phi) attention and
    feed-forward block read the same norm, which has the input norm's name: where a layer has no other, it is that one.

    Raises:
        UnsupportedModelError: The layer has none by a known name; the message says what it has.
    """
    block: nn.Module = loaded.layers[layer]
    for name in SITES[site]:
        if not name:
            return block
        found: list[nn.Module] = [m for path, m in block.named_modules() if path.rpartition(".")[2] == name]
        if len(found) == 1:
            return found[0]
    if site == "post_attention" and _norms(loaded, layer) == 1:
        return find_site(loaded, layer, "input")
    names = ", ".join(path for path, _ in block.named_modules() if path)
    raise UnsupportedModelError(
        f"The {loaded.info.family} decoder's layers have no site {site!r} (looked for {', '.join(SITES[site])}).",
        f"Use another --site; a layer has: {names}.",
    )


def _norms(loaded: Loaded, layer: int) -> int:
    """How many norms a layer has, those inside its attention (of queries and keys) left out."""
    attention = loaded.attentions[layer]
    inside = set() if attention is None else set(attention.modules())
    return sum("norm" in type(m).__name__.lower() for m in loaded.layers[layer].modules() if m not in inside)


def weigh(features: Tensor, gradients: Tensor, variant: CamVariant) -> Tensor:
    """The map of one layer: features [n C] and gradients [n C] of the image tokens -> heat [n] float32, >= 0.

    Source: Eq. 2-3, weights as the mean over image tokens; "code": the released script.
    """
    features, gradients = at_least_float32(features), at_least_float32(gradients)
    if variant == "code":
        heat = (features * gradients.relu().mean(-2)).mean(-1).relu()
        return torch.where(heat < CODE_THRESHOLD * heat.max(), 0.0, heat)
    return (features @ gradients.mean(-2)).relu()


def _copies(inputs: Inputs, parameters: CamParameters) -> Sequence[Mapping[str, Tensor]]:
    """The model's inputs with noise on the pixels, once per copy; the noise is drawn on the CPU, alike everywhere."""
    pixels = inputs.model_inputs.get("pixel_values")
    if pixels is None:
        raise UnsupportedModelError("The model takes no pixel_values to put noise on.", "Use the variant paper.")
    generator = torch.Generator().manual_seed(parameters.seed)

    def noisy() -> Tensor:
        noise = torch.randn(pixels.shape, generator=generator) * parameters.noise
        return (pixels.float() + noise.to(pixels.device)).to(pixels.dtype)

    return [{**inputs.model_inputs, "pixel_values": noisy()} for _ in range(parameters.copies)]


def _maps(
    loaded: Loaded,
    inputs: Inputs,
    model_inputs: Mapping[str, Tensor],
    layers: Sequence[int],
    sites: Sequence[nn.Module],
    parameters: CamParameters,
    check: Callable[[int, float], None],
) -> Tensor:
    """Heat of all layers from one forward pass: [1 or 1+T, layers, n], float32."""
    capture = _Capture(sites, check)
    with ExitStack() as around, torch.enable_grad():
        if recomputing():
            around.enter_context(recomputed(list(loaded.layers[layers[0] :])))
        # Until the end of the backward pass, for layers that are computed again come by again.
        for site in sites:
            around.callback(site.register_forward_hook(capture).remove)
        logits = run_model(loaded, model_inputs, inputs.answer_rows)
        capture.going_back = True
        target = logits.gather(-1, inputs.answer_ids[:, None])[:, 0]
        return _heat(loaded, inputs, target, capture.tensors, parameters, check)


class _Capture:
    """Takes the feature map of each site on the way forward: a hook.

    Attributes:
        tensors: [1 N C] for each site, in order; or [N C] where a layer flattens batch and tokens (OPT), which is the
            same of a batch of one.
        going_back: Whether the forward pass is over, so that what comes by comes for the second time.
    """

    def __init__(self, sites: Sequence[nn.Module], check: Callable[[int, float], None]) -> None:
        self.sites, self.check = sites, check
        self.tensors: list[Tensor] = []
        self.going_back = False

    def __call__(self, site: nn.Module, _: object, output: Any) -> Any:
        tensor = output if isinstance(output, Tensor) else output[0]
        if site is self.sites[0]:
            # Everything before this tensor is a constant: the backward pass ends here.
            tensor = tensor.detach().requires_grad_()
        if not self.going_back:
            self.check(len(self.tensors), 0.5 * len(self.tensors) / len(self.sites))
            self.tensors.append(tensor)
        return tensor if isinstance(output, Tensor) else (tensor, *output[1:])


def _heat(
    loaded: Loaded,
    inputs: Inputs,
    target: Tensor,
    captured: Sequence[Tensor],
    parameters: CamParameters,
    check: Callable[[int, float], None],
) -> Tensor:
    """Heat of all layers, by backward passes from the answer's logits [T]: [1 or 1+T, layers, n], float32."""
    features = [_rows(a.detach(), inputs.image_positions) for a in captured]
    # A sum's gradient is the sum of the gradients: next to one map per token, the map of all costs no pass of its own.
    per_token = parameters.per_token and len(target) > 0
    parts = list(target) if per_token else [target.sum()]
    last = len(captured) - 1
    heat: list[Tensor] = []
    whole: list[Tensor] = []
    for i, part in enumerate(parts):
        check(last, 0.5 + 0.5 * i / len(parts))
        gradients = [
            at_least_float32(_rows(g, inputs.image_positions))
            for g in torch.autograd.grad(part, captured, retain_graph=i + 1 < len(parts), materialize_grads=True)
        ]
        _check_finite(loaded, gradients)
        heat.append(torch.stack([weigh(a, g, parameters.variant) for a, g in zip(features, gradients, strict=True)]))
        whole = gradients if i == 0 else [a + b for a, b in zip(whole, gradients, strict=True)]
    if per_token:
        all_tokens = [weigh(a, g, parameters.variant) for a, g in zip(features, whole, strict=True)]
        heat.insert(0, torch.stack(all_tokens))
    return torch.stack(heat)


def _rows(tensor: Tensor, positions: Tensor) -> Tensor:
    return tensor.flatten(0, -2)[positions]


def _check_finite(loaded: Loaded, gradients: Sequence[Tensor]) -> None:
    if not all(bool(g.isfinite().all()) for g in gradients):
        raise ModelError(
            f"The gradients of the answer's logits overflow {loaded.info.dtype}.",
            "Load the model with --dtype bfloat16 or --dtype float32.",
        )
