"""The other side as packages do it, each used as its own documentation shows, on the same weights and inputs.

Each function takes a scene and returns the work to be timed. A package that changes its model gets one of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.scene import Scene
from benchmarks.timing import Work


class _Answer(nn.Module):
    """Pixels -> the answer's logits, summed over its tokens: [1 1]. What CAM packages expect of a model."""

    def __init__(self, scene: Scene, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.others = {k: v for k, v in scene.model_inputs.items() if k != "pixel_values"}
        self.rows, self.ids = scene.inputs.answer_rows, scene.inputs.answer_ids

    def forward(self, pixel_values: Tensor) -> Tensor:
        call = {**self.others, "pixel_values": pixel_values, "use_cache": False, "logits_to_keep": self.rows}
        logits = self.model(**call).logits[0]
        return logits.gather(-1, self.ids[:, None]).sum()[None, None]


def grad_cam(scene: Scene) -> Work:
    """GradCAM of grad-cam, one target layer at a time, no parameter frozen: maps [L pixels pixels].

    Its maps are stretched to the image and scaled from their minimum to their maximum.
    """
    from pytorch_grad_cam import GradCAM

    model = _Answer(scene, scene.plain("sdpa"))
    image, grid = scene.inputs.image_positions, scene.size.grid

    def reshape(tensor: Tensor) -> Tensor:
        return tensor[:, image].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)

    def work() -> Any:
        maps = []
        for layer in model.model.model.language_model.layers:
            with GradCAM(model, [layer.post_attention_layernorm], reshape_transform=reshape) as cam:
                maps.append(cam(scene.model_inputs["pixel_values"], targets=[lambda output: output.sum()]))
        return maps

    return work


class _Tap(nn.Module):
    """A norm whose image rows pass through `grid` as [1 C n]: captum wants channels second, and only these tokens."""

    def __init__(self, norm: nn.Module, image: Tensor) -> None:
        super().__init__()
        self.norm, self.image, self.grid = norm, image, nn.Identity()

    def forward(self, hidden: Tensor) -> Tensor:
        output = self.norm(hidden)
        rows = self.grid(output[:, self.image].transpose(1, 2))
        return output.index_copy(1, self.image, rows.transpose(1, 2))


def captum(scene: Scene) -> Work:
    """LayerGradCam of captum, one layer at a time: heat [L n]."""
    from captum.attr import LayerGradCam

    model = _Answer(scene, scene.plain("sdpa"))
    layers = model.model.model.language_model.layers
    for layer in layers:
        layer.post_attention_layernorm = _Tap(layer.post_attention_layernorm, scene.inputs.image_positions)

    def work() -> Tensor:
        heat = []
        for layer in layers:
            method = LayerGradCam(model, layer.post_attention_layernorm.grid)
            found = method.attribute(scene.model_inputs["pixel_values"], target=0, relu_attributions=True)
            heat.append(found.detach().flatten())
        return torch.stack(heat)

    return work


def vl_saliency(scene: Scene) -> Work:
    """SaliencyExtractor.capture of vl-saliency: attention and gradient [L H T rows cols] of the answer's own rows.

    Its loss is that of all tokens, prompt included, and every parameter gets a gradient. Under SDPA it fails: eager.
    """
    from vl_saliency import SaliencyExtractor

    model = scene.plain("eager")
    extractor = SaliencyExtractor(model, scene.loaded.processor)
    ids, start = scene.model_inputs["input_ids"], scene.inputs.prompt_length

    def work() -> Any:
        trace = extractor.capture(ids, input_ids=ids[:, :start], pixel_values=scene.model_inputs["pixel_values"])
        return trace.attn[0] * trace.grad[0]

    return work


def transformer_lens(scene: Scene) -> Work:
    """TransformerBridge.run_with_cache, names_filter on every decoder layer's pattern: weights [L T H N]."""
    from transformer_lens.model_bridge import TransformerBridge

    model, inputs = scene.plain("eager"), scene.model_inputs
    bridge = TransformerBridge.boot_transformers(
        str(scene.folder), hf_model=model, tokenizer=scene.loaded.processor.tokenizer
    )
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(scene.size.layers)]
    rows = scene.inputs.answer_rows

    @torch.no_grad()
    def work() -> Tensor:
        _, cache = bridge.run_with_cache(
            inputs["input_ids"],
            pixel_values=inputs["pixel_values"],
            attention_mask=inputs["attention_mask"],
            names_filter=names,
        )
        return torch.stack([cache[name][0, :, rows].transpose(0, 1) for name in names])

    return work


def nnsight(scene: Scene) -> Work:
    """A trace of nnsight under eager attention, the answer's rows saved in every layer: weights [L T H N]."""
    from nnsight import NNsight

    model, inputs, rows = NNsight(scene.plain("eager")), scene.model_inputs, scene.inputs.answer_rows

    @torch.no_grad()
    def work() -> Tensor:
        with model.trace(**inputs):
            kept = [].save()
            for layer in model.model.language_model.layers:
                kept.append(layer.self_attn.output[1][0, :, rows].transpose(0, 1))
        return torch.stack(list(kept))

    return work
