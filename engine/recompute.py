"""Layers that keep nothing for the backward pass but what entered them, and compute the rest again when it is needed.

A backward pass through all layers otherwise holds every layer's intermediate values at once, many times what a forward
pass needs. Computed again, one layer after the other, they cost one more forward pass and the memory of one layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop


@contextmanager
def recomputed(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Inside, these modules are differentiated that way; afterwards, however it ends, they are as before."""
    with ExitStack() as undo:
        for layer in layers:
            undo.callback(_restore, layer, layer.__dict__.get("forward"))
            layer.forward = _forgetful(layer.forward)
        # What watches a layer must see its second run to the end.
        undo.enter_context(set_checkpoint_early_stop(False))
        yield


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    # On a GPU the second run is in another thread, which must come to the same size of chunks.
    context = copy_context()

    def again(*args: Any, **kwargs: Any) -> Any:
        return context.copy().run(forward, *args, **kwargs)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(again, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return wrapped


def _restore(layer: nn.Module, own: Callable[..., Any] | None) -> None:
    # A loader that spreads layers over devices leaves a forward of its own in them.
    if own is None:
        del layer.__dict__["forward"]
    else:
        layer.forward = own
