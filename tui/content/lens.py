"""The logit lens: what each layer would say."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtui.engine.results import LayerResult, Run, Span
from flowtui.engine.token_texts import read_texts

from .parts import Summary, each, layers_of, one

Guess = list[Any]
"""A token's text and its probability."""


def content(run: Run, layer: int | None) -> Summary | None:
    """The likeliest tokens, and the answer's rank and probability, at each layer; of one also each patch's token."""
    analysis = run.analyses.get("lens")
    if analysis is None:
        return None
    layers = layers_of(run, "lens", layer)
    made: Summary = {
        "top": each(analysis, layers, _top),
        "rank": each(analysis, layers, lambda r: r.arrays["rank"].tolist()),
        "prob": each(analysis, layers, lambda r: _floats(r.arrays["prob"])),
        "image": True if any("image_ids" in r.arrays for r in analysis.layers.values()) else None,
    }
    result = one(analysis, layer)
    if result is not None and "image_ids" in result.arrays:
        made["image_tokens"] = image_tokens(run, result)
    return made


def every_image_token(run: Run) -> list[Any]:
    """`image_tokens` of every layer, None where they were not asked for."""
    layers = run.analyses["lens"].layers
    return [
        image_tokens(run, layers[k]) if k in layers and "image_ids" in layers[k].arrays else None
        for k in run.expected("lens")
    ]


def image_tokens(run: Run, result: LayerResult) -> list[list[Any]]:
    """The likeliest token at each image token, [text, probability]: of each span rows of cells, or one flat list."""
    texts = read_texts(result.text)
    ids, probs = result.arrays["image_ids"].tolist(), _floats(result.arrays["image_probs"])
    guesses: list[Guess] = [[texts[i], p] for i, p in zip(ids, probs, strict=True)]
    return [_of_span(run, span, guesses) for span in run.tokens.spans]


def _of_span(run: Run, span: Span, guesses: list[Guess]) -> list[Any]:
    positions = run.tokens.image_positions
    if span.rows and span.cols:
        return [[guesses[i] for i in row] for row in np.searchsorted(positions, span.positions())]
    return [guess for position, guess in zip(positions, guesses, strict=True) if span.start <= position < span.end]


def _top(result: LayerResult) -> list[list[Guess]]:
    """Of each answer row the likeliest tokens, best first."""
    texts = read_texts(result.text)
    return [
        [[texts[i], p] for i, p in zip(ids, _floats(probs), strict=True)]
        for ids, probs in zip(result.arrays["ids"].tolist(), result.arrays["probs"], strict=True)
    ]


def _floats(values: Any) -> list[float]:
    made: list[float] = np.asarray(values, dtype=np.float64).tolist()
    return made
