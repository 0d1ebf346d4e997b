"""Proof at load time that what the engine reads off a model is what the model does.

A short text goes through the model twice: with transformers' own eager attention, which returns its weights, and under
`rows.watch`. What differs by more than the tolerance is refused: its numbers could not be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from flowtui.errors import UnsupportedModelError

from .failures import is_out_of_memory
from .loaded import Loaded
from .rows import NAME, Chunk, Watch, implementation, watch

LENGTH = 24

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 2e-2}
"""Largest absolute difference of a weight. Eager attention rounds its scores and weights to the model's precision, ours
are float32 throughout: at 8 bits of mantissa and scores around 10 that alone is up to 1e-2."""

HEAD_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-2}
"""Largest difference of a logit, relative to the largest logit."""


def self_test(loaded: Loaded) -> float:
    """Compares attention rows and logits with the model's own.

    Returns:
        Largest absolute difference of an attention weight.

    Raises:
        UnsupportedModelError: Too large, or the model cannot be run this way; the message says what was found.
    """
    inputs = _short_text(loaded)
    try:
        with torch.inference_mode():
            # In half precision two passes drift apart from layer to layer, whichever way each is computed. There every
            # layer is compared on its own, on the hidden states of one pass.
            error = _whole_pass(loaded, inputs) if loaded.dtype == torch.float32 else _layer_by_layer(loaded, inputs)
            head_error = _head(loaded, inputs)
    except (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError) as failure:
        if is_out_of_memory(failure):
            raise
        reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
        raise _refusal(loaded, f"a short text could not be followed through it ({reason})") from failure
    tolerance = TOLERANCE.get(loaded.dtype, TOLERANCE[torch.bfloat16])
    if not error <= tolerance:
        raise _refusal(
            loaded, f"attention rows differ from its own eager attention by {error:.2g}, more than {tolerance:g}"
        )
    if not head_error <= HEAD_TOLERANCE.get(loaded.dtype, HEAD_TOLERANCE[torch.bfloat16]):
        raise _refusal(
            loaded,
            f"final norm and output embedding of the last layer give other logits (off by {head_error:.2g} of the top)",
        )
    return error


def _text_model(loaded: Loaded) -> PreTrainedModel:
    """What a text alone can go through: the whole model, or its language model where the whole needs an image.

    Such a model (BLIP-2, InstructBLIP) leaves masks and positions to its language model, so nothing is left out.
    """
    pixels = signature(loaded.model.forward).parameters.get("pixel_values")
    if pixels is None or pixels.default is not Parameter.empty:
        return loaded.model
    holders = [
        m
        for m in loaded.model.modules()
        if isinstance(m, PreTrainedModel) and {loaded.decoder, loaded.lm_head} <= set(m.modules())
    ]
    return min(holders, key=lambda m: sum(1 for _ in m.modules()))


def _short_text(loaded: Loaded) -> dict[str, Tensor]:
    """Ids spread over the vocabulary, special tokens left out: [1 LENGTH]."""
    tokenizer = loaded.processor.tokenizer
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values(), loaded.image_token_id}
    embedding = loaded.model.get_input_embeddings()
    plain = [i for i in range(min(len(tokenizer), embedding.weight.shape[0])) if i not in special]
    ids = [plain[(i * 7919) % len(plain)] for i in range(LENGTH)]
    input_ids = torch.tensor([ids], device=loaded.device)
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    if "token_type_ids" in signature(_text_model(loaded).forward).parameters:
        # Where a model takes them, its processor gives them: without, PaliGemma's mask depends on the implementation.
        inputs["token_type_ids"] = torch.zeros_like(input_ids)
    return inputs


def _whole_pass(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    """Largest difference between an eager and a watched pass over all layers."""
    eager: dict[int, Tensor] = {}
    _run_eager(loaded, inputs, lambda layer, _args, _kwargs, weights: eager.update({layer: weights}))
    errors: list[float] = []

    def compare(chunk: Chunk) -> None:
        errors.append(_difference(chunk, eager))

    with watch(loaded, _everything(loaded, compare)):
        _text_model(loaded)(**inputs, use_cache=False)
    return _largest(loaded, errors, len(loaded.attending))


def _layer_by_layer(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    """Largest difference where each layer is watched on the hidden states that it has in an eager pass."""
    eager: dict[int, Tensor] = {}
    errors: list[float] = []

    def compare(layer: int, args: tuple[Any, ...], kwargs: dict[str, Any], weights: Tensor) -> None:
        eager[layer] = weights
        with watch(loaded, _everything(loaded, lambda chunk: errors.append(_difference(chunk, eager)))):
            # Its forward, not the module: a call would come back here.
            loaded.attending[layer].forward(*args, **kwargs)

    _run_eager(loaded, inputs, compare)
    worst = _largest(loaded, errors, len(loaded.attending))
    # That went by eager attention's masks. In a whole pass under our name, what eager leaves out must be left out too.
    leaks: list[float] = []

    def look(chunk: Chunk) -> None:
        rows = slice(chunk.start, chunk.start + chunk.weights.shape[1])
        leaks.append(float((chunk.weights * (eager[chunk.layer][:, rows] == 0)).max()))

    with watch(loaded, _everything(loaded, look)):
        _text_model(loaded)(**inputs, use_cache=False)
    return _largest(loaded, [worst, *leaks], 1 + len(loaded.attending))


def _run_eager(
    loaded: Loaded,
    inputs: dict[str, Tensor],
    on_layer: Callable[[int, tuple[Any, ...], dict[str, Any], Tensor], None],
) -> None:
    """One pass with eager attention; `on_layer` gets each layer, its attention's arguments and weights [head row key].

    `output_attentions=True` gives the same weights, but leaves transformers' own hooks in the model.
    """
    layers = {module: layer for layer, module in loaded.attending.items()}

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        weights = next((o for o in output if isinstance(o, Tensor) and o.ndim == 4), None)
        if weights is None:
            raise _refusal(loaded, f"its {type(module).__name__} returns no weights under eager attention")
        on_layer(layers[module], args, kwargs, weights[0])

    hooks = [module.register_forward_hook(hook, with_kwargs=True) for module in layers]
    try:
        with implementation(loaded, "eager"):
            _text_model(loaded)(**inputs, use_cache=False)
    finally:
        for handle in hooks:
            handle.remove()


def _everything(loaded: Loaded, on_chunk: Callable[[Chunk], None]) -> Watch:
    return Watch(torch.arange(LENGTH, device=loaded.device), list(loaded.attending), on_chunk)


def _difference(chunk: Chunk, eager: dict[int, Tensor]) -> float:
    if chunk.layer not in eager:
        return torch.inf
    rows = slice(chunk.start, chunk.start + chunk.weights.shape[1])
    return float((chunk.weights - eager[chunk.layer][:, rows].float()).abs().max())


def _head(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    """Logits through `final_norm` and `lm_head` against the model's own, relative to the largest."""
    seen: list[Tensor] = []
    hook = loaded.layers[-1].register_forward_hook(
        lambda _module, _args, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    try:
        logits = _text_model(loaded)(**inputs, use_cache=False).logits.float()
    finally:
        hook.remove()
    ours = loaded.head(seen[0]).float()
    return float((ours - logits).abs().max() / logits.abs().max().clamp_min(1e-30))


def _largest(loaded: Loaded, errors: list[float], count: int) -> float:
    if len(errors) < count:
        raise _refusal(loaded, f"only {len(errors)} of {count} layers passed through the {NAME} attention function")
    # A NaN must not vanish in a maximum.
    return next((e for e in errors if e != e), max(errors))


def _refusal(loaded: Loaded, found: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The {loaded.info.family} model {loaded.info.name} did not pass the self-test: {found}.",
        "Its numbers could not be trusted, so none are given.",
    )
