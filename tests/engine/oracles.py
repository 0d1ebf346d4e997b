"""Slow and plain ways to the same numbers, and models to try them on; nothing here uses the engine's analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from flowtui.engine.demo.model import build_model, save
from flowtui.engine.inputs import Inputs
from flowtui.engine.models import Loaded, load_model


def load_random_demo(folder: Path) -> Loaded:
    """The demo architecture with random weights, larger than fresh ones so that the image moves the answer."""
    torch.manual_seed(1)
    model = build_model(12)
    with torch.no_grad():
        for parameter in model.model.language_model.layers.parameters():
            if parameter.ndim == 2:
                parameter *= 6
        for parameter in model.model.multi_modal_projector.parameters():
            parameter *= 5
        model.lm_head.weight *= 4
    save(model, folder)
    return load_model(str(folder), dtype="float32", device="cpu")


def hooks_left(model: nn.Module) -> int:
    """Hooks and replaced methods anywhere in the model, but for those transformers installs itself."""
    tables = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = [hook for m in model.modules() for t in tables for hook in getattr(m, t).values()]
    ours = [hook for hook in hooks if not hook.__module__.startswith("transformers.")]
    return len(ours) + sum("forward" in m.__dict__ for m in model.modules())


@contextmanager
def hidden_image(loaded: Loaded, hidden: Callable[[int], Tensor]) -> Iterator[None]:
    """Inside, every row but a hidden token's own cannot see the tokens `hidden(layer)` as keys in that layer."""

    def gone(index: int, n: int) -> Tensor:
        columns = torch.zeros(n, dtype=torch.bool)
        columns[hidden(index)] = True
        # The diagonal stays: a row without any key has no softmax.
        return columns[None, :] & ~torch.eye(n, dtype=torch.bool)

    with cut_connections(loaded, gone):
        yield


@contextmanager
def cut_connections(loaded: Loaded, gone: Callable[[int, int], Tensor]) -> Iterator[None]:
    """Inside, layer i's rows do not see the keys where `gone(i, N)` [N N] (row, key) is True."""

    def cut(index: int) -> Callable[..., tuple[tuple[object, ...], dict[str, object]]]:
        def hook(
            _: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor | None]
        ) -> tuple[tuple[object, ...], dict[str, object]]:
            stream = args[0] if args else kwargs["hidden_states"]
            assert stream is not None
            n, own = stream.shape[1], kwargs["attention_mask"]
            if own is None:
                allowed = torch.ones(n, n, dtype=torch.bool).tril()
            else:
                allowed = own[0, 0] if own.dtype == torch.bool else own[0, 0] == 0
            allowed = allowed & ~gone(index, n)
            mask = torch.zeros(n, n, dtype=stream.dtype).masked_fill(~allowed, torch.finfo(stream.dtype).min)
            return args, {**kwargs, "attention_mask": mask[None, None]}

        return hook

    # A layer without attention has no connections of this kind.
    attending = [(i, layer) for i, layer in enumerate(loaded.layers) if i in loaded.attending]
    handles = [layer.register_forward_pre_hook(cut(i), with_kwargs=True) for i, layer in attending]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def masked_logits(loaded: Loaded, model_inputs: Mapping[str, Tensor], k: int, gone: Tensor) -> Tensor:
    """Logits [N vocab] when the tokens `gone` are hidden from layer k on, by masking."""
    nothing = gone[:0]
    with hidden_image(loaded, lambda layer: gone if layer >= k else nothing):
        return loaded.model(**model_inputs, use_cache=False).logits[0]


@torch.no_grad()
def dropped_logits(loaded: Loaded, inputs: Inputs, k: int, gone: Tensor) -> Tensor:
    """Logits [kept vocab] when the tokens `gone` are dropped before layer k: a Llama decoder run by hand."""
    ids = inputs.model_inputs["input_ids"]
    hidden = loaded.model.get_input_embeddings()(ids)
    pixels = inputs.model_inputs["pixel_values"]
    features = loaded.model.model.get_image_features(pixels, return_dict=True).pooler_output
    hidden[0, inputs.image_positions] = torch.cat(list(features))
    positions = torch.arange(ids.shape[1])
    for index, layer in enumerate(loaded.layers):
        if index == k:
            keep = ~torch.isin(positions, gone)
            hidden, positions = hidden[:, keep], positions[keep]
        cos_sin = loaded.decoder.rotary_emb(hidden, positions[None])
        allowed = positions[:, None] >= positions[None, :]
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)[None, None]
        hidden = layer(hidden, attention_mask=mask, position_embeddings=cos_sin)
    if k == len(loaded.layers):
        keep = ~torch.isin(positions, gone)
        hidden = hidden[:, keep]
    return loaded.lm_head(loaded.final_norm(hidden))[0]


def slow_greedy(loaded: Loaded, inputs: Inputs, k: int, gone: Tensor) -> tuple[list[int], bool]:
    """The greedy answer with `gone` hidden from layer k on: a whole masked forward pass for every new token."""
    whole, start = inputs.model_inputs["input_ids"].shape, inputs.prompt_length
    # Kinds of tokens, as the families document them: PaliGemma calls its causal suffix 1, others their text 0.
    kind = 1 if loaded.info.family == "paligemma" else 0
    answer: list[int] = []
    while len(answer) < inputs.max_new_tokens:
        now = dict(inputs.model_inputs)
        for name, value in inputs.model_inputs.items():
            if value.shape == whole:
                assert name in ("input_ids", "attention_mask") or name.endswith("type_ids"), name
                new = {"input_ids": answer, "attention_mask": [1] * len(answer)}.get(name, [kind] * len(answer))
                now[name] = torch.cat([value[:, :start], value.new_tensor(new)[None]], 1)
        scores = masked_logits(loaded, now, k, gone)[-1]
        # The image placeholder is never an answer: a model could not read on from it.
        scores[loaded.image_token_id] = -torch.inf
        token = int(scores.argmax())
        if token in inputs.stop_ids:
            return answer, True
        answer.append(token)
    return answer, False
