"""An image is encoded once for all that is asked about it: answer, curves and maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor

from .loaded import Loaded

ENCODER = "get_image_features"
"""transformers' name, in every family that has one, of the way from pixels to what goes into the sequence."""

Given = dict[str, Any]
_ANEW: ContextVar[bool] = ContextVar("encoding_anew", default=False)


@contextmanager
def kept_features(loaded: Loaded) -> Iterator[None]:
    """Inside, the model's image encoder remembers the last image; whoever asks for the same one gets the same tensors.

    A family without an encoder of that name (Fuyu, whose patches go into the decoder as they are) is left alone, and so
    are calls whose features belong to a graph of gradients.
    """
    patched = []
    for module in loaded.model.modules():
        if callable(encode := getattr(module, ENCODER, None)):
            # An attribute of the instance goes before the method of its class.
            object.__setattr__(module, ENCODER, _remembering(encode, getattr(module, "config", None)))
            patched.append(module)
    try:
        yield
    finally:
        for module in patched:
            object.__delattr__(module, ENCODER)


@contextmanager
def encoding_anew() -> Iterator[None]:
    """Inside, images are encoded even where they are remembered: for who looks at how that is done."""
    token = _ANEW.set(True)
    try:
        yield
    finally:
        _ANEW.reset(token)


def _remembering(encode: Callable[..., Any], config: object) -> Callable[..., Any]:
    memory: list[tuple[Given, Any]] = []
    parameters = signature(encode).parameters

    # Its signature stays that of the method: callers look which inputs it takes.
    @wraps(encode)
    def encode_once(*arguments: Any, **named: Any) -> Any:
        if _ANEW.get() or any(tensor.requires_grad for tensor in _tensors((arguments, named))):
            return encode(*arguments, **named)
        given = _given(parameters, config, arguments, named)
        if memory and _same(memory[0][0], given):
            return memory[0][1]
        # Tensors of inference mode could not go into a graph later on, in a map that needs gradients.
        with torch.inference_mode(False), torch.no_grad():
            made = encode(*arguments, **named)
        memory[:] = [(given, made)]
        return made

    return encode_once


def _given(parameters: Mapping[str, Parameter], config: object, arguments: tuple[Any, ...], named: Given) -> Given:
    """What a call gives, by name, without what it says anyway: generating and a plain pass call differently."""
    given = {**dict(zip(parameters, arguments, strict=False)), **named}
    given.update((f"#{i}", value) for i, value in enumerate(arguments[len(parameters) :]))
    default = {name: getattr(config, name, parameter.default) for name, parameter in parameters.items()}
    default |= {"return_dict": True, "use_cache": given.get("use_cache")}
    return {
        name: value
        for name, value in given.items()
        if value is not None and (isinstance(value, Tensor) or value != default.get(name, Parameter.empty))
    }


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def _same(one: Any, other: Any) -> bool:
    """Whether two calls have the same arguments, tensors by value."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one is other or one == other)
