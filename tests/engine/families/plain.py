"""A second copy of a model, run by transformers alone: whole passes, eager attention, masks written by hand.

The engine never touches it. It knows the decoder's layers by their path alone; attention comes from
`output_attentions`, what autograd needs from whole passes, values from an ordinary cache, and what is cut or hidden is
cut by masks given to each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, DynamicCache

from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded

Array = NDArray[Any]


class Plain:
    """A second copy of a model, and one prompt.

    Attributes:
        loaded: The engine's model.
        model: The copy, eager, float32; its parameters want gradients.
        layers: Its decoder layers.
        norm: Its final norm.
        attending: Layers that have attention.
        inputs: The prompt, as the engine prepared it.
        group: [N], index into `GROUPS`.
        known: Results of oracles, by analysis and layer.
    """

    def __init__(self, loaded: Loaded, inputs: Inputs) -> None:
        assert loaded.info.directory is not None
        self.model: Any = AutoModelForImageTextToText.from_pretrained(
            loaded.info.directory, attn_implementation="eager", dtype=torch.float32, local_files_only=True
        ).eval()
        for parameter in self.model.parameters():
            # Adapters come frozen; what is stored in 4 or 8 bits stays so.
            parameter.requires_grad_(parameter.is_floating_point())
        paths = {id(module): path for path, module in loaded.model.named_modules()}
        self.layers: Any = self.model.get_submodule(paths[id(loaded.layers)])
        self.norm: Any = self.model.get_submodule(paths[id(loaded.final_norm)])
        self.attending = sorted(loaded.attending)
        self.loaded = loaded
        self._take(inputs)

    def on(self, inputs: Inputs) -> Plain:
        """The same copy with another prompt."""
        other = object.__new__(Plain)
        kept = ("loaded", "model", "layers", "norm", "attending")
        other.__dict__.update({name: self.__dict__[name] for name in kept})
        other._take(inputs)
        return other

    def _take(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.rows, self.ids, self.image = inputs.answer_rows, inputs.answer_ids, inputs.image_positions
        self.group = np.asarray(inputs.prepared.tokens.group)
        self.given = dict(inputs.model_inputs)
        self.known: dict[str, dict[int, dict[str, Array]]] = {}

    def logits(self, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """[N vocab], float32."""
        logits: Tensor = self.model(**(given or self.given), use_cache=False).logits[0]
        return logits

    @cached_property
    def attentions(self) -> dict[int, Tensor]:
        """Layer -> weights [H N N], of layers that have any."""
        with torch.no_grad():
            found, _ = self.with_attentions()
        return {layer: weights[0] for layer, weights in found.items()}

    def with_attentions(self) -> tuple[dict[int, Tensor], Tensor]:
        """Layer -> weights [1 H N N], the tensors that the model itself goes on with, and logits [N vocab]."""
        output = self.model(**self.given, use_cache=False, output_attentions=True)
        # BLIP-2 keeps its language model's outputs apart.
        inner = getattr(output, "language_model_outputs", output)
        found = [weights for weights in inner.attentions if weights is not None]
        return dict(zip(self.attending, found, strict=True)), output.logits[0]

    @cached_property
    def values(self) -> dict[int, Tensor]:
        """Layer -> value vectors [H N d], repeated for grouped queries."""
        # Without a configuration the cache keeps every token of every layer, windows or not.
        cache = DynamicCache() if len(self.attending) == len(self.layers) else DynamicCache(config=self._text())
        with torch.no_grad():
            self.model(**self.given, past_key_values=cache, use_cache=True)
        found = {layer: cache.layers[layer].values[0] for layer in self.attending}
        return {layer: v.repeat_interleave(self.attentions[layer].shape[0] // len(v), 0) for layer, v in found.items()}

    def _text(self) -> Any:
        return self.model.config.get_text_config(decoder=True)

    @contextmanager
    def without(self, gone: Callable[[int], Array]) -> Iterator[None]:
        """Inside, layer i's rows do not see the keys where gone(i) [N N] is True; the diagonal always stays."""

        def mask(index: int) -> Callable[..., Any]:
            def hook(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
                own, n = kwargs["attention_mask"], (args[0] if args else kwargs["hidden_states"]).shape[1]
                cut = torch.from_numpy(gone(index)) & ~torch.eye(n, dtype=torch.bool)
                return args, {**kwargs, "attention_mask": own.masked_fill(cut, torch.finfo(own.dtype).min)}

            return hook

        # What a layer without attention mixes goes by no mask of this kind.
        hooks = [self.layers[i].register_forward_pre_hook(mask(i), with_kwargs=True) for i in self.attending]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def cutting(self, gone: Tensor, first: int = 0, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits [N vocab] without the tokens `gone` from layer `first` on; theirs mean nothing."""
        hybrid = len(self.attending) < len(self.layers)
        return (self.dropping if hybrid else self.hiding)(gone, first, given)

    @torch.no_grad()
    def dropping(self, gone: Tensor, first: int, given: Mapping[str, Tensor] | None) -> Tensor:
        """By really leaving the rows out: no mask hides a token from a convolution or a state."""
        n = int((given or self.given)["input_ids"].shape[1])
        kept = torch.tensor(sorted(set(range(n)) - set(gone.tolist())))

        def fewer(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(fewer(part) for part in value)
            if isinstance(value, Tensor):
                for dim in (d for d, size in enumerate(value.shape) if size == n):
                    value = value.index_select(dim, kept)
            return value

        def drop(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
            return tuple(fewer(arg) for arg in args), {name: fewer(value) for name, value in kwargs.items()}

        hooks = [layer.register_forward_pre_hook(drop, with_kwargs=True) for layer in self.layers[first:]]
        try:
            logits = self.logits(given)
        finally:
            for hook in hooks:
                hook.remove()
        whole = logits.new_full((n, logits.shape[-1]), torch.nan)
        whole[kept] = logits[kept] if first == len(self.layers) else logits
        return whole

    @torch.no_grad()
    def hiding(self, gone: Tensor, first: int = 0, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits [N vocab] when no other token sees the tokens `gone` from layer `first` on."""
        n = int((given or self.given)["input_ids"].shape[1])
        columns = np.zeros((n, n), dtype=bool)
        columns[:, gone.numpy()] = True
        nothing = np.zeros_like(columns)
        with self.without(lambda layer: columns if layer >= first else nothing):
            return self.logits(given)

    def logprob(self, logits: Tensor) -> Array:
        """[N vocab] -> log-probabilities [T] of the answer tokens, float64."""
        logs = logits[self.rows].double().log_softmax(-1)
        return logs[torch.arange(len(self.ids)), self.ids].numpy()

    def greedy(self, first: int) -> list[int]:
        """The greedy answer with the image hidden from layer `first` on: one whole pass for each token."""
        start, made = self.inputs.prompt_length, list[int]()
        while len(made) < self.inputs.max_new_tokens:
            given = dict(self.given)
            for name, value in self.given.items():
                if value.shape == self.given["input_ids"].shape:
                    # What stands beside every token (its kind): an answer's tokens are all alike.
                    more = value.new_tensor([made]) if name == "input_ids" else value[:, -1:].expand(1, len(made))
                    given[name] = torch.cat([value[:, :start], more], 1)
            scores = self.cutting(self.image, first, given)[-1]
            # As in generating: the image placeholder is never an answer.
            scores[self.image_token] = -torch.inf
            token = int(scores.argmax())
            if token in self.inputs.stop_ids:
                break
            made.append(token)
        return made

    def streams(self) -> list[Tensor]:
        """What leaves each layer: [N d_model]."""
        output = self.model(**self.given, use_cache=False, output_hidden_states=True)
        # The first is what enters; in place of what leaves the last there is its norm.
        inner = getattr(output, "language_model_outputs", output)
        return [stream[0] for stream in inner.hidden_states[1:]]

    def head(self, stream: Tensor) -> Tensor:
        """Logits [... vocab] of what leaves a layer."""
        logits: Tensor = self.model.get_output_embeddings()(self.norm(stream))
        cap = getattr(self._text(), "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    @property
    def image_token(self) -> int:
        return int(self.given["input_ids"][0, self.image[0]])

    def features(self) -> list[dict[str, Tensor]]:
        """What goes into each layer's two halves, with its graph, and the logits under "logits" of the last.

        A half is a child of the layer with a matrix in it: the first that is called mixes tokens, the second is the
        feed-forward block. So no norm is looked for by its name.
        """
        found: list[dict[str, Tensor]] = [{} for _ in self.layers]

        def enter(index: int) -> Callable[..., None]:
            def hook(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
                tensor = args[0] if args else kwargs["hidden_states"]
                name = "post_attention" if "input" in found[index] else "input"
                found[index].setdefault(name, tensor)

            return hook

        hooks = [
            child.register_forward_pre_hook(enter(i), with_kwargs=True)
            for i, layer in enumerate(self.layers)
            for child in layer.children()
            if any(p.ndim > 1 for p in child.parameters())
        ]
        try:
            with torch.enable_grad():
                found[-1]["logits"] = self.logits()
        finally:
            for hook in hooks:
                hook.remove()
        return found
