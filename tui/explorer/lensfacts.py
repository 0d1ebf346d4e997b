"""The logit lens of a run: words and probabilities of every layer, at the answer rows and at the image tokens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.results import LayerResult, Run
from flowtui.engine.token_texts import read_texts
from flowtui.tui.text import visible

from .derived import Derived


@dataclass(frozen=True, slots=True)
class Word:
    """A token that a layer would say.

    Attributes:
        text: Safe to show, blanks visible.
        prob: Its probability.
        answer: Whether it is the answer's token.
    """

    text: str
    prob: float
    answer: bool


@dataclass(frozen=True, slots=True)
class Patches:
    """The likeliest token at each image token.

    Attributes:
        words: [n], safe to show.
        probs: [n].
        answer: [n] whether it is one of the answer's tokens.
        counts: (word, image tokens with it), the most frequent first.
    """

    words: tuple[str, ...]
    probs: NDArray[np.floating]
    answer: NDArray[np.bool_]
    counts: tuple[tuple[str, int], ...]


class LensFacts:
    """One run's logit lens.

    Args:
        run: The run.

    Attributes:
        prob: [L T] probability of the answer's tokens, NaN where a layer is missing.
        rank: [L T] their rank, 0 is the likeliest; -1 where a layer is missing.
    """

    def __init__(self, run: Run) -> None:
        found = run.analyses.get("lens")
        self._results: dict[int, LayerResult] = {} if found is None else dict(found.layers)
        self._answer = run.answer.ids
        self._texts: dict[int, dict[int, str]] = {}
        self._tokens = run.tokens
        self._patches: dict[int, Patches | None] = {}
        shape = (run.model.layers, len(self._answer))
        self.prob, self.rank = np.full(shape, np.nan), np.full(shape, -1)
        for layer, result in self._results.items():
            self.prob[layer], self.rank[layer] = result.arrays["prob"], result.arrays["rank"]

    @property
    def there(self) -> bool:
        """Whether any layer is there."""
        return bool(self._results)

    def top(self, layer: int, token: int) -> tuple[Word, ...]:
        """The likeliest tokens at an answer row, best first; none where the layer is missing."""
        result = self._results.get(layer)
        if result is None:
            return ()
        ids, probs = result.arrays["ids"][token].tolist(), result.arrays["probs"][token].tolist()
        return tuple(
            Word(self._text(layer, i), prob, i == self._answer[token]) for i, prob in zip(ids, probs, strict=True)
        )

    def patches(self, layer: int) -> Patches | None:
        """The image tokens of a layer; None where they were not asked for or the layer is missing."""
        if layer not in self._patches:
            result = self._results.get(layer)
            made = None
            if result is not None and "image_ids" in result.arrays:
                ids = result.arrays["image_ids"]
                words = tuple(self._text(layer, i) for i in ids.tolist())
                answer = np.isin(ids, self._answer)
                made = Patches(words, result.arrays["image_probs"], answer, tuple(Counter(words).most_common()))
            self._patches[layer] = made
        return self._patches[layer]

    def grid_at(self, patch: int, across: int) -> tuple[NDArray[np.int64], str]:
        """The grid with an image token.

        Args:
            patch: Index among the image tokens.
            across: Columns for tokens that have no grid of their own.

        Returns:
            Indices among the image tokens, [rows cols], -1 behind the last; and the grid's name.
        """
        image = self._tokens.image_positions
        index = np.full(len(self._tokens.ids), -1, dtype=np.int64)
        index[image] = np.arange(len(image))
        at = int(image[patch])
        for place, span in enumerate(self._tokens.spans):
            if span.start <= at < span.end:
                name = f"grid {place} of {len(self._tokens.spans)}" if len(self._tokens.spans) > 1 else ""
                if span.rows:
                    return index[span.positions()], name
                return _folded(np.flatnonzero((image >= span.start) & (image < span.end)), across), name
        owned = np.zeros(len(index), dtype=bool)
        for span in self._tokens.spans:
            owned[span.start : span.end] = True
        return _folded(np.flatnonzero(~owned[image]), across), "tokens without a grid"

    def settled(self, token: int) -> int | None:
        """The first layer from which on the answer's token stays the likeliest to the last; None for none."""
        ranks = self.rank[:, token]
        others = np.flatnonzero(ranks != 0)
        first = int(others[-1]) + 1 if len(others) else 0
        return first if first < len(ranks) else None

    def _text(self, layer: int, token: int) -> str:
        """A token's text with its blanks visible; its number where it has none."""
        if layer not in self._texts:
            self._texts[layer] = read_texts(self._results[layer].text)
        text = visible(self._texts[layer].get(token, "")).replace(" ", "␣")
        return text or f"⟨{token}⟩"


def _folded(indices: NDArray[np.int64], across: int) -> NDArray[np.int64]:
    """Indices in rows, filled up with -1."""
    across = max(1, min(across, len(indices)))
    rows = -(-len(indices) // across)
    made = np.full(rows * across, -1, dtype=np.int64)
    made[: len(indices)] = indices
    return made.reshape(rows, across)


def plain_word(text: str) -> str:
    """A word without the blank before it, which says little where room is short."""
    return text.strip("␣") or text


lens_facts = Derived(LensFacts)
