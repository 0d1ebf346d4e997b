"""Proof at load time that what the engine reads off a model is what the model does.

A short text goes through the model twice: with transformers' own eager attention, which returns its weights, and under
`rows.watch`. What differs by more than the tolerance is refused: its numbers could not be trusted.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

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
        if isinstance(failure, torch.OutOfMemoryError):
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


def _short_text(loaded: Loaded) -> dict[str, Tensor]:
    """Ids spread over the vocabulary, special tokens left out: [1 LENGTH]."""
    tokenizer = loaded.processor.tokenizer
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values(), loaded.image_token_id}
    embedding = loaded.model.get_input_embeddings()
    plain = [i for i in range(min(len(tokenizer), embedding.weight.shape[0])) if i not in special]
    ids = [plain[(i * 7919) % len(plain)] for i in range(LENGTH)]
    input_ids = torch.tensor([ids], device=loaded.device)
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    if "token_type_ids" in signature(loaded.model.forward).parameters:
        # Where a model takes them, its processor gives them: without, PaliGemma's mask depends on the implementation.
        inputs["token_type_ids"] = torch.zeros_like(input_ids)
    return inputs


def _whole_pass(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    with implementation(loaded, "eager"):
        eager = loaded.model(**inputs, output_attentions=True, use_cache=False).attentions
    if eager is None or len(eager) != len(loaded.layers):
        found = "none" if eager is None else str(len(eager))
        raise _refusal(loaded, f"its eager attention returns {found} layers of weights, not {len(loaded.layers)}")
    errors: list[float] = []

    def compare(chunk: Chunk) -> None:
        expected = eager[chunk.layer][0, :, chunk.start : chunk.start + chunk.weights.shape[1]].float()
        errors.append(float((chunk.weights - expected).abs().max()))

    with watch(loaded, Watch(torch.arange(LENGTH, device=loaded.device), range(len(loaded.layers)), compare)):
        loaded.model(**inputs, use_cache=False)
    return _largest(loaded, errors, len(loaded.layers))


def _layer_by_layer(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    errors: list[float] = []
    ours: list[Tensor] = []
    unseen: list[Tensor] = []
    take = Watch(
        torch.arange(LENGTH, device=loaded.device), range(len(loaded.layers)), lambda c: ours.append(c.weights)
    )

    def compare(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        eager = next((o for o in output if isinstance(o, Tensor) and o.ndim == 4), None)
        if eager is None:
            raise _refusal(loaded, f"its {type(module).__name__} returns no weights under eager attention")
        ours.clear()
        with watch(loaded, take):
            # Its forward, not the module: a call would come back here.
            module.forward(*args, **kwargs)
        errors.append(float((torch.cat(ours, 1) - eager[0].float()).abs().max()))
        unseen.append(eager[0] == 0)

    hooks = [module.register_forward_hook(compare, with_kwargs=True) for module in loaded.attentions]
    try:
        with implementation(loaded, "eager"):
            loaded.model(**inputs, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    # That went by eager attention's masks. In a whole pass under our name, what eager leaves out must be left out too.
    leaks: list[float] = []

    def look(chunk: Chunk) -> None:
        rows = slice(chunk.start, chunk.start + chunk.weights.shape[1])
        leaks.append(float((chunk.weights * unseen[chunk.layer][:, rows]).max()))

    with watch(loaded, Watch(take.rows, take.layers, look)):
        loaded.model(**inputs, use_cache=False)
    return max(_largest(loaded, errors, len(loaded.layers)), _largest(loaded, leaks, len(loaded.layers)))


def _head(loaded: Loaded, inputs: dict[str, Tensor]) -> float:
    """Logits through `final_norm` and `lm_head` against the model's own, relative to the largest."""
    seen: list[Tensor] = []
    hook = loaded.layers[-1].register_forward_hook(
        lambda _module, _args, output: seen.append(output[0] if isinstance(output, tuple) else output)
    )
    try:
        logits = loaded.model(**inputs, use_cache=False).logits.float()
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
