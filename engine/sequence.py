"""The sequence a model reads: tokens, grids of the images, the answer, and their plain-data form. Torch-free."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.cache.tensors import pack, unpack
from flowtui.errors import UsageError

GROUPS = ("system", "image", "user", "answer")
MAX_CELLS = 1 << 16
"""Of a projection's grid: a file that claims more would only fill the memory."""
ROUNDING = 1e-3
"""What the weights of one query, each rounded to float32, may sum to beyond 1."""

Array = NDArray[Any]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Span:
    """One grid of image tokens: a whole image, or one tile of it.

    Attributes:
        image: Index of the image in the prompt.
        start: First token position.
        end: One past the last token position.
        rows: Grid rows, 0 where the tokens have no grid.
        cols: Grid columns.
        row_stride: Tokens from one row's start to the next (larger than `cols` where a separator ends each row).
        box_px: The rectangle it covers in the original image: (left, top, right, bottom) pixels.
    """

    image: int
    start: int
    end: int
    rows: int
    cols: int
    row_stride: int
    box_px: Box

    def positions(self) -> NDArray[np.int64]:
        """Token positions of the grid's cells: [rows cols] int64."""
        return self.start + np.arange(self.rows)[:, None] * self.row_stride + np.arange(self.cols)[None, :]


@dataclass(frozen=True, slots=True)
class Projection:
    """Where the tokens of a span without a grid look: query tokens, which read the whole image through a Q-Former.

    Attributes:
        weights: [query rows*cols] float32, >= 0, at most 1 in sum for each query: the part of it that is each cell's.
        rows: Rows of the grid of patches that the Q-Former reads.
        cols: Its columns.
        box_px: The rectangle it covers in the original image: (left, top, right, bottom) pixels.
    """

    weights: NDArray[np.float32]
    rows: int
    cols: int
    box_px: Box

    def __post_init__(self) -> None:
        if min(self.rows, self.cols) < 1 or self.rows * self.cols > MAX_CELLS:
            raise UsageError(f"A projection's grid of {self.rows} x {self.cols} cells is malformed.")
        if self.weights.dtype != np.float32 or self.weights.shape[1:] != (self.rows * self.cols,):
            raise UsageError(f"A projection's weights do not fit its {self.rows} x {self.cols} cells.")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise UsageError("A projection holds a weight that is none.")
        if (self.weights.sum(1, dtype=np.float64) > 1 + ROUNDING).any():
            raise UsageError("A projection gives more of a token to the image than there is.")
        if len(self.box_px) != 4 or not np.isfinite(self.box_px).all():
            raise UsageError("A projection's rectangle is malformed.")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The whole sequence, prompt and answer.

    Attributes:
        ids: [N] int64.
        text: N pieces of text, as the tokenizer decodes each token on its own.
        group: [N] uint8, index into `GROUPS`.
        spans: Grids of the image tokens.
        answer_start: Position of the first answer token; everything before is the prompt.
        projections: For each span, where its tokens look if they are query tokens; or empty: there are none.
    """

    ids: NDArray[np.int64]
    text: tuple[str, ...]
    group: NDArray[np.uint8]
    spans: tuple[Span, ...]
    answer_start: int
    projections: tuple[Projection | None, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.ids.ndim != 1 or self.group.shape != (n,) or len(self.text) != n:
            raise UsageError("Token ids, texts and groups differ in length.")
        if not 0 < self.answer_start <= n or (self.group[self.answer_start :] != GROUPS.index("answer")).any():
            raise UsageError("The answer does not start where the tokens say.")
        for span in self.spans:
            last = span.start + max(0, span.rows - 1) * span.row_stride + span.cols
            whole = span.rows == span.cols == 0 or (min(span.rows, span.cols) > 0 and span.row_stride >= span.cols)
            if not 0 <= span.start < span.end <= n or last > span.end or not whole:
                raise UsageError(f"The image span {span.start}:{span.end} does not fit the {n} tokens.")
            if (self.group[span.positions()] != GROUPS.index("image")).any():
                raise UsageError(f"The image span {span.start}:{span.end} holds a token that is none of the image's.")
        if self.projections and len(self.projections) != len(self.spans):
            raise UsageError("Projections and image spans differ in number.")
        for span, projection in zip(self.spans, self.projections, strict=False):
            if projection is None:
                continue
            image = self.group[span.start : span.end] == GROUPS.index("image")
            if span.rows or not image.all() or len(projection.weights) != len(image):
                raise UsageError(f"A projection does not fit the image span {span.start}:{span.end}.")

    @property
    def image_positions(self) -> NDArray[np.int64]:
        """Positions of the image tokens, in order: [n] int64."""
        return np.flatnonzero(self.group == GROUPS.index("image"))

    def projection_of(self, span: Span) -> Projection | None:
        """Where a span's tokens look if they are query tokens, else None."""
        return self.projections[self.spans.index(span)] if self.projections else None

    def grid_of(self, span: Span) -> tuple[int, int, Box] | None:
        """(rows, cols, box_px) of a span's map over the image, its own or projected; None where there is none."""
        found = self.projection_of(span) or span
        return (found.rows, found.cols, found.box_px) if found.rows and found.cols else None

    def on_grid(self, values: Array, span: Span) -> Array:
        """Takes values over image tokens [... n] to a span's grid [... rows cols].

        Query tokens' values are shared out by their weights: a cell gets the part of each value that is its own.
        """
        index = np.full(len(self.ids), -1, dtype=np.int64)
        index[self.image_positions] = np.arange(len(self.image_positions))
        projection = self.projection_of(span)
        if projection is None:
            return np.asarray(values[..., index[span.positions()]])
        shared = values[..., index[span.start : span.end]] @ projection.weights
        return np.asarray(shared.reshape(*values.shape[:-1], projection.rows, projection.cols))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer under analysis.

    Attributes:
        ids: Token ids, end token left out.
        text: The answer as text.
        tokens: Text of each token.
        given: True where the user gave it, False where the model decoded it greedily.
        stopped: Whether the end token followed (greedy), so that "same answer" includes stopping there.
    """

    ids: tuple[int, ...]
    text: str
    tokens: tuple[str, ...]
    given: bool
    stopped: bool


def tokens_to_plain(tokens: Tokens) -> dict[str, Any]:
    """Tokens as plain data; the projections only where there are any."""
    plain = {
        "ids": tokens.ids.tolist(),
        "text": list(tokens.text),
        "group": tokens.group.tolist(),
        "spans": [asdict(s) | {"box_px": list(s.box_px)} for s in tokens.spans],
        "answer_start": tokens.answer_start,
    }
    if tokens.projections:
        plain["projections"] = [None if p is None else _projection_to_plain(p) for p in tokens.projections]
    return plain


def tokens_from_plain(plain: dict[str, Any]) -> Tokens:
    """Inverse of `tokens_to_plain`."""
    spans = tuple(Span(**{**s, "box_px": tuple(float(v) for v in s["box_px"])}) for s in plain["spans"])
    for span in spans:
        wholes = (span.image, span.start, span.end, span.rows, span.cols, span.row_stride)
        if len(span.box_px) != 4 or not np.isfinite(span.box_px).all() or not all(type(v) is int for v in wholes):
            raise ValueError("an image span is malformed")
    group = np.array([as_whole(g) for g in plain["group"]], dtype=np.uint8)
    if group.size and group.max() >= len(GROUPS):
        raise ValueError("a token belongs to no known group")
    texts = tuple(as_text(t) for t in plain["text"])
    projections = plain.get("projections", [])
    return Tokens(
        np.array([as_whole(i) for i in plain["ids"]], dtype=np.int64),
        texts,
        group,
        spans,
        as_whole(plain["answer_start"]),
        tuple(None if p is None else _projection_from_plain(p) for p in projections),
    )


def _projection_to_plain(projection: Projection) -> dict[str, Any]:
    return {
        "weights": pack({"weights": projection.weights}, {}),
        "rows": projection.rows,
        "cols": projection.cols,
        "box_px": list(projection.box_px),
    }


def _projection_from_plain(plain: dict[str, Any]) -> Projection:
    arrays, _ = unpack(plain["weights"])
    if plain.keys() != {"weights", "rows", "cols", "box_px"} or arrays.keys() != {"weights"}:
        raise ValueError("a projection is malformed")
    left, top, right, bottom = (float(v) for v in plain["box_px"])
    return Projection(arrays["weights"], as_whole(plain["rows"]), as_whole(plain["cols"]), (left, top, right, bottom))


def answer_to_plain(answer: Answer) -> dict[str, Any]:
    """Answer as plain data."""
    return asdict(answer) | {"ids": list(answer.ids), "tokens": list(answer.tokens)}


def answer_from_plain(plain: dict[str, Any]) -> Answer:
    """Inverse of `answer_to_plain`."""
    return Answer(
        tuple(as_whole(i) for i in plain["ids"]),
        as_text(plain["text"]),
        tuple(as_text(t) for t in plain["tokens"]),
        plain["given"] is True,
        plain["stopped"] is True,
    )


def as_whole(value: object) -> int:
    """A whole number that came from outside; True is none."""
    if type(value) is not int:
        raise TypeError(f"expected a whole number, found {type(value).__name__}")
    return value


def as_finite(value: object) -> float:
    """A number that came from outside: neither infinite nor NaN, which JSON cannot hold."""
    if type(value) is not int and type(value) is not float:
        raise TypeError(f"expected a number, found {type(value).__name__}")
    if not isfinite(value):
        raise ValueError(f"expected a finite number, found {value}")
    return float(value)


def as_text(value: object) -> str:
    """A text that came from outside."""
    if type(value) is not str:
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value
