"""Finds the language decoder inside a vision-language model by its structure, whatever the family is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from flowtui.errors import UnsupportedModelError

ATTENTION_KINDS = ("full_attention", "sliding_attention", "chunked_attention", "attention")
"""Of the kinds of layers that configurations name, those whose attention weights exist. Others mix tokens without any:
short convolutions, linear attention, state spaces."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """The parts of a decoder, all of them modules of the model itself.

    Attributes:
        module: Holds the token embedding, the layers and the final norm.
        layers: L decoder layers.
        attentions: The self-attention of each layer; None where the configuration says that a layer has none.
        final_norm: Between the last layer and the head.
        lm_head: Hidden state to logits.
    """

    module: PreTrainedModel
    layers: nn.ModuleList
    attentions: tuple[nn.Module | None, ...]
    final_norm: nn.Module
    lm_head: nn.Module


def find_decoder(model: PreTrainedModel) -> Decoder:
    """Finds the decoder: the module that holds the token embedding beside a list of layers.

    Raises:
        UnsupportedModelError: A part is missing or there are several; the message says what was found.
    """
    text = model.config.get_text_config(decoder=True)
    if getattr(model.config, "is_encoder_decoder", False) or getattr(text, "is_encoder_decoder", False):
        raise _refusal(
            model,
            f"its language model ({text.model_type}) is an encoder-decoder: the image's tokens stand in the encoder,"
            " and the answer reads them by cross-attention, not in one sequence with them",
        )
    embedding = model.get_input_embeddings()
    lm_head: nn.Module | None = cast(Any, model).get_output_embeddings()
    count = getattr(text, "num_hidden_layers", None)
    if lm_head is None:
        raise _refusal(model, "it has no output embedding (lm_head)")
    # Through `children`, not by name: families name these parts differently.
    holders = [m for m in model.modules() if any(child is embedding for child in m.children())]
    found = [
        (m, c)
        for m in holders
        for c in m.children()
        if isinstance(m, PreTrainedModel) and isinstance(c, nn.ModuleList) and len(c) == count
    ]
    if len(found) != 1:
        raise _refusal(
            model, f"{len(found)} modules hold the token embedding beside {count} layers, where 1 was expected"
        )
    module, layers = found[0]
    kinds = list(getattr(text, "layer_types", None) or [])
    attentions: list[nn.Module | None] = []
    for i, layer in enumerate(layers):
        inside = [m for m in layer.modules() if hasattr(m, "layer_idx") and hasattr(m, "scaling")]
        if not inside and len(kinds) == count and kinds[i] not in ATTENTION_KINDS:
            attentions.append(None)
            continue
        if len(inside) != 1:
            names = ", ".join(type(m).__name__ for m in layer.modules() if m is not layer)
            raise _refusal(
                model, f"layer {i} has {len(inside)} attention modules, where 1 was expected, among: {names}"
            )
        attentions.append(inside[0])
    if all(attention is None for attention in attentions):
        raise _refusal(model, f"none of its {count} layers has attention")
    norms = [c for c in module.children() if c is not embedding and _is_norm(c)]
    if len(norms) != 1:
        children = ", ".join(f"{name} ({type(c).__name__})" for name, c in module.named_children())
        raise _refusal(
            model, f"{len(norms)} final norms stand beside the layers, where 1 was expected, among: {children}"
        )
    return Decoder(module, layers, tuple(attentions), norms[0], lm_head)


def _is_norm(module: nn.Module) -> bool:
    """A norm has one weight per channel and nothing below it."""
    weight = getattr(module, "weight", None)
    return weight is not None and weight.ndim == 1 and not any(True for _ in module.children())


def _refusal(model: PreTrainedModel, found: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The {model.config.model_type} model ({type(model).__name__}) cannot be taken apart: {found}.",
        "flowtui models lists the families that are known to work.",
    )
