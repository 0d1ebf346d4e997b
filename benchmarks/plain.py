"""The other side without any package: transformers' own calls with hooks, as a script would make them.

Each function takes a scene and returns the work to be timed; what it sets up before is not timed. "A plain call" is
`model(**inputs)`, logits of all tokens included; "lean" is the same without a cache and with the answer's logits alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from benchmarks.scene import Scene
from benchmarks.timing import Work
from flowtui.engine.cam import weigh

Enter = Callable[[int, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]]


def forward(scene: Scene, *, lean: bool = False) -> Work:
    """One plain call: logits [N vocab], or [T vocab] when lean."""
    model, inputs, extra = scene.loaded.model, scene.model_inputs, _lean(scene) if lean else {}

    @torch.no_grad()
    def work() -> Tensor:
        return model(**inputs, **extra).logits[0]

    return work


def lean_forward(scene: Scene) -> Work:
    """One call that computes nothing that is not needed."""
    return forward(scene, lean=True)


def drop_per_k(scene: Scene, *, lean: bool = False) -> Work:
    """For each K a call in which the image tokens leave the sequence before layer K: logprob [L+1 T].

    A forward pre-hook on every layer. The causal order of what remains is enough: no mask is built.
    """
    inputs = scene.inputs
    rows = torch.searchsorted(text_positions(scene), inputs.answer_rows)

    def logprobs(k: int) -> Tensor:
        kept = inputs.answer_rows if k == scene.size.layers else rows
        extra = {"use_cache": False, "logits_to_keep": kept} if lean else {}
        with entered(scene.loaded.layers, _dropping(scene, k)):
            logits = scene.loaded.model(**inputs.model_inputs, **extra).logits[0]
        return answer_logprob(scene, logits if lean else logits[kept])

    return _per_k(scene, logprobs)


def mask_per_k(scene: Scene, *, lean: bool = False) -> Work:
    """For each K a call in which no row sees an image token from layer K on: logprob [L+1 T].

    A forward pre-hook on every layer gives it a mask; a row keeps the connection to itself.
    """
    inputs, extra = scene.inputs, _lean(scene) if lean else {}
    n = inputs.length
    seen = torch.ones(n, n, dtype=torch.bool, device=scene.device).tril()
    seen[:, inputs.image_positions] = False
    seen.fill_diagonal_(True)

    def logprobs(k: int) -> Tensor:
        def enter(layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return args, {**kwargs, "attention_mask": seen[None, None]} if layer >= k else kwargs

        with entered(scene.loaded.layers, enter):
            logits = scene.loaded.model(**inputs.model_inputs, **extra).logits[0]
        return answer_logprob(scene, logits if lean else logits[inputs.answer_rows])

    return _per_k(scene, logprobs)


def generate_per_k(scene: Scene, tokens: int) -> Work:
    """For each K the greedy text, by `generate` with the image tokens dropped before layer K in its first step.

    Later steps carry one token; the keys and values that each layer has kept are those that it may see.
    """
    loaded, inputs = scene.loaded, scene.inputs
    prompt = {k: v[:, : inputs.prompt_length] if v.ndim == 2 else v for k, v in scene.model_inputs.items()}

    def text(k: int) -> list[int]:
        with entered(loaded.layers, _dropping(scene, k, length=inputs.prompt_length)):
            made = loaded.generate(prompt, tokens)
        return made[0, inputs.prompt_length :].tolist()

    @torch.no_grad()
    def work() -> list[list[int]]:
        return [text(k) for k in range(scene.size.layers + 1)]

    return work


def knock_out(scene: Scene, keys: Tensor, queries: Tensor, window: range) -> Tensor:
    """One masked call with the edge keys -> queries [N] bool cut in a window of layers: logprob [T]."""
    n = scene.inputs.length
    seen = torch.ones(n, n, dtype=torch.bool, device=scene.device).tril()
    seen &= ~(queries[:, None] & keys[None, :])
    seen.fill_diagonal_(True)

    def enter(layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, "attention_mask": seen[None, None]} if layer in window else kwargs

    with torch.no_grad(), entered(scene.loaded.layers, enter):
        logits = scene.loaded.model(**scene.model_inputs).logits[0]
    return answer_logprob(scene, logits[scene.inputs.answer_rows])


def without(scene: Scene, gone: Tensor) -> Tensor:
    """One call without the image tokens at these positions, dropped before the first layer: logprob [T]."""
    everything = torch.arange(scene.inputs.length, device=scene.device)
    kept = everything[~torch.isin(everything, gone)]
    with torch.no_grad(), entered(scene.loaded.layers, _dropping(scene, 0, kept=kept)):
        logits = scene.loaded.model(**scene.model_inputs).logits[0]
    return answer_logprob(scene, logits[torch.searchsorted(kept, scene.inputs.answer_rows)])


def cam_per_layer(scene: Scene) -> Work:
    """For each layer a call whose gradient starts at that layer's norm, all parameters frozen: heat [L n].

    The leanest way to one layer at a time: nothing before the layer is differentiated.
    """
    loaded, inputs = scene.loaded, scene.inputs

    def work() -> Tensor:
        heat = []
        for layer in loaded.layers:
            kept: list[Tensor] = []

            def keep(_: nn.Module, __: object, output: Tensor, kept: list[Tensor] = kept) -> Tensor:
                kept.append(output.detach().requires_grad_())
                return kept[0]

            handle = layer.post_attention_layernorm.register_forward_hook(keep)
            try:
                logits = loaded.model(**inputs.model_inputs, **_lean(scene)).logits[0]
            finally:
                handle.remove()
            target = logits.gather(-1, inputs.answer_ids[:, None]).sum()
            (gradient,) = torch.autograd.grad(target, kept[0])
            image = inputs.image_positions
            heat.append(weigh(kept[0].detach()[0, image], gradient[0, image], "paper"))
        return torch.stack(heat)

    return work


def eager_forward(scene: Scene) -> Work:
    """One plain call with eager attention: logits [N vocab]."""
    model, inputs = scene.plain("eager"), scene.model_inputs

    @torch.no_grad()
    def work() -> Tensor:
        return model(**inputs).logits[0]

    return work


def output_attentions(scene: Scene) -> Work:
    """One plain call with `output_attentions=True`, then the answer's rows: weights [L T H N]."""
    model, inputs, rows = scene.plain("eager"), scene.model_inputs, scene.inputs.answer_rows

    @torch.no_grad()
    def work() -> Tensor:
        weights = model(**inputs, output_attentions=True).attentions
        return torch.stack([layer[0, :, rows].transpose(0, 1) for layer in weights])

    return work


def retain_grad(scene: Scene) -> Work:
    """Eager attention, `output_attentions=True`, `retain_grad` on all of it: |sum over heads of A dL/dA| [L N N].

    Parameters are frozen and the gradient starts at the embeddings, which is the least that such a script needs.
    """
    model = scene.plain("eager")
    model.requires_grad_(False)

    def work() -> Tensor:
        loss, weights = _eager_loss(scene, model)
        for layer in weights:
            layer.retain_grad()
        loss.backward()
        return torch.stack([(layer.detach() * layer.grad)[0].sum(0).abs() for layer in weights])

    return work


def _eager_loss(scene: Scene, model: PreTrainedModel) -> tuple[Tensor, Sequence[Tensor]]:
    """Cross-entropy of the answer, and the attention weights of each layer, with a graph behind them."""

    def start(_: nn.Module, __: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    handle = model.get_input_embeddings().register_forward_hook(start)
    try:
        output = model(**scene.model_inputs, output_attentions=True, **_lean(scene))
    finally:
        handle.remove()
    return nn.functional.cross_entropy(output.logits[0], scene.inputs.answer_ids), output.attentions


def hidden_states(scene: Scene) -> Work:
    """One plain call with `output_hidden_states=True`, then final norm and head at the answer's rows: [L T vocab]."""
    loaded, inputs = scene.loaded, scene.inputs

    @torch.no_grad()
    def work() -> Tensor:
        last: list[Tensor] = []
        handle = loaded.final_norm.register_forward_pre_hook(lambda _, args: last.append(args[0]))
        try:
            states = loaded.model(**inputs.model_inputs, output_hidden_states=True).hidden_states
        finally:
            handle.remove()
        # The last of them is behind the final norm already.
        return torch.stack([loaded.head(state[0, inputs.answer_rows]) for state in (*states[1:-1], last[0])])

    return work


def answer_logprob(scene: Scene, logits: Tensor) -> Tensor:
    """[T vocab] -> log-probability of each answer token [T]."""
    return logits.log_softmax(-1).gather(-1, scene.inputs.answer_ids[:, None])[:, 0]


def text_positions(scene: Scene) -> Tensor:
    """Positions that are no image token's."""
    everything = torch.arange(scene.inputs.length, device=scene.device)
    return everything[~torch.isin(everything, scene.inputs.image_positions)]


@contextmanager
def entered(layers: nn.ModuleList, enter: Enter) -> Iterator[None]:
    """Inside, every layer is called with what `enter(layer, args, kwargs)` returns."""

    def hook(index: int) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
        return lambda _, args, kwargs: enter(index, args, kwargs)

    handles = [layer.register_forward_pre_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _lean(scene: Scene) -> dict[str, Any]:
    return {"use_cache": False, "logits_to_keep": scene.inputs.answer_rows}


def _dropping(scene: Scene, k: int, *, kept: Tensor | None = None, length: int | None = None) -> Enter:
    """Drops all but the kept positions before layer k; steps of one token pass."""
    kept = text_positions(scene) if kept is None else kept
    kept = kept if length is None else kept[kept < length]

    def enter(layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if layer < k or args[0].shape[1] == 1:
            return args, kwargs
        cos, sin = kwargs["position_embeddings"]
        stream = args[0][:, kept] if layer == k else args[0]
        positions = {"position_embeddings": (cos[:, kept], sin[:, kept])}
        return (stream,), {**kwargs, "attention_mask": None, **positions}

    return enter


def _per_k(scene: Scene, logprobs: Callable[[int], Tensor]) -> Work:
    @torch.no_grad()
    def work() -> Tensor:
        return torch.stack([logprobs(k) for k in range(scene.size.layers + 1)])

    return work
