"""The name that one layer of one analysis of a run has in every cache, here and where a far engine runs. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowtui.cache.keys import layer_key

from .results import Answer, ModelInfo
from .sequence import Tokens
from .spec import RunSpec

WHOLE = -1
"""In a layer's place: the whole analysis, as its lock is named."""

WHOLE_FAR = -2
"""The same for a far engine. A client waits for its engine while it holds its own lock; the two may share a cache."""


def layer_name(
    spec: RunSpec,
    model: ModelInfo,
    tokens: Tokens,
    answer: Answer,
    analysis: str,
    parameters: Mapping[str, Any],
    layer: int,
) -> str:
    """Names a layer.

    Args:
        spec, model, tokens, answer: Of the run.
        analysis, parameters: What is computed; parameters as plain data, complete.
        layer: The layer or K, `WHOLE` or `WHOLE_FAR`.

    Raises:
        CacheError: A parameter is not plain data.
    """
    # All but the cut of every token follow from the ids; grouping by roles or by the paper's rule does not.
    extra: dict[str, Any] = {"groups": tokens.group.tobytes()}
    if analysis == "truncation":
        extra |= {"max_new_tokens": spec.max_new_tokens, "stopped": answer.stopped}
    return layer_key(
        fingerprint=model.fingerprint,
        processor="",  # the fingerprint covers the processor's files
        dtype=model.dtype,
        token_ids=tokens.ids,
        images=spec.images,
        answer_ids=answer.ids,
        analysis=analysis,
        parameters={**parameters, **extra},
        layer=layer,
    )
