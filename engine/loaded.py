"""A model in memory, with the parts the analyses work on."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from inspect import signature
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, ProcessorMixin

from .results import ModelInfo


@dataclass(slots=True)
class Loaded:
    """A model in memory: every parameter frozen, evaluation mode, its decoder's parts at hand.

    Attributes:
        model: The whole model.
        processor: Its processor.
        info: What was found.
        decoder: Module that holds the token embedding, the layers and the final norm.
        layers: L decoder layers.
        attentions: The self-attention module of each layer; None where a hybrid decoder's layer has none.
        final_norm: Between the last layer and the head.
        lm_head: Hidden state to logits.
        image_token_id: Id of the placeholder that an image's features replace.
        stop_ids: Ids that end an answer.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    info: ModelInfo
    decoder: PreTrainedModel
    layers: nn.ModuleList
    attentions: tuple[nn.Module | None, ...]
    final_norm: nn.Module
    lm_head: nn.Module
    image_token_id: int
    stop_ids: tuple[int, ...]

    @property
    def attending(self) -> dict[int, nn.Module]:
        """Layer -> its self-attention, for the layers that have one."""
        return {layer: module for layer, module in enumerate(self.attentions) if module is not None}

    @property
    def device(self) -> torch.device:
        """Where the model's inputs belong."""
        found: torch.device = self.model.device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """What the decoder computes in; parts beside it may be kept in float32 (a Q-Former)."""
        found: torch.dtype = self.decoder.dtype
        return found

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [... vocab] of hidden states [... d_model] that left the last layer."""
        logits: Tensor = self.lm_head(self.final_norm(hidden))
        cap = getattr(self.model.config.get_text_config(decoder=True), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def last_logits(self, model_inputs: dict[str, Tensor]) -> Tensor:
        """Logits of the last position: [vocab]; the others are not even computed where the model can leave them out."""
        last = {"logits_to_keep": 1} if "logits_to_keep" in signature(self.model.forward).parameters else {}
        with torch.inference_mode():
            logits: Tensor = self.model(**model_inputs, **last, use_cache=False).logits
        return logits[0, -1]

    def generate(self, model_inputs: dict[str, Tensor], max_new_tokens: int) -> Tensor:
        """Prompt and greedy answer, the end token included where there is one: [1 N].

        The image placeholder is never an answer: the next forward pass would look for its pixels and fail.
        """
        config = copy.deepcopy(cast(Any, self.model).generation_config)
        config.update(
            do_sample=False, num_beams=1, max_new_tokens=max_new_tokens, suppress_tokens=[self.image_token_id]
        )
        # As a whole: some families hand their arguments on to a language model with settings of its own.
        made: Tensor = cast(Any, self.model).generate(**model_inputs, generation_config=config)
        return made
