"""The arrays of each analysis: names, shapes and types, checked before anything is shown or kept. Torch-free.

T answer tokens, H heads, n image tokens, N tokens, V vocabulary; groups in the order of `GROUPS`, edges in that of
`EDGES`, maps in that of `MAPS`. One layer has:

attention    share        [T H 4] float32  attention from the answer row to each group, sums to 1 over groups
             value_share  [T H 4] float32  the same with every weight times its value vector's norm, sums to 1
             sink         [T H]   float32  the part of `share` that goes to token 0
             image_rows   [T n]   float32  head-mean weights on the image tokens
             text_rows    [T X]   float32  head-mean weights on the X = N - n other tokens
             head_rows    [H n]   float32  each head's weights on the image tokens, mean over answer rows
             entropy      [T H]   float32  of the whole row, nats, >= 0
             weights      [T H N] float32  every head's whole row (heavy, only on request)
             (H is 0, and `image_rows` 0, in a layer of a hybrid decoder that has no attention)
cam          heat         [M n]   float32  heat before division by its maximum, >= 0; row 0: all answer tokens
                                           together, rows 1..T: one answer token each (M is 1 or 1 + T)
saliency     flow         [4 4]   float32  mean saliency from a key's group (column) to a query's group (row), >= 0;
                                           the query group `answer` is the answer rows; 0 where there is no pair
             image_rows   [T n]   float32  saliency of the image tokens at each answer row, >= 0
truncation   logprob      [T]     float32  natural log-probability of each answer token, image cut at K
             kl           [T]     float32  KL(full || truncated) at each answer row, nats, >= 0
             same         []      bool     greedy decoding gives the full model's answer
             ids          [any]   int32    the greedy answer at this K, end token left out
             (`layer` is K, 0..L; `text` is the greedy answer)
lens         ids          [T k]   int32    likeliest tokens at each answer row, best first
             probs        [T k]   float32  their probabilities, falling
             rank         [T]     int32    of the answer token, 0 is the likeliest
             prob         [T]     float32  of the answer token
             image_ids    [n]     int32    likeliest token at each image token (only on request)
             image_probs  [n]     float32  its probability
             (`text` is a JSON object: token id -> its text)
knockout     logprob      [4 T]   float32  natural log-probability of each answer token, one edge cut in each row
             base         [T]     float32  the same of the untouched model
             (`layer` is the centre of the window)
faithfulness deletion     [4 S]   float32  probability of the answer when image tokens are removed, hottest first
             insertion    [4 S]   float32  the same when they are added to no image, hottest first
             fraction     [S]     float32  image tokens removed or added, 0 to 1
             ranked       [3]     bool     the map is not zero everywhere; where it is, its curves are by reading order
             (rows: `MAPS`, then the mean of random orders; the probability is the geometric mean over answer tokens)
matrix       share        [C C]   float32  head-mean attention from the tokens of a row's cell to those of a column's:
                                           mean over the row's tokens, sum over the column's; a row sums to 1
             edges        [C+1]   int32    first token of each cell, and N; no cell spans two groups
             (all zero in a layer of a hybrid decoder that has no attention)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .token_texts import check_texts

if TYPE_CHECKING:
    from .results import LayerResult, Run

EDGES = ("image->answer", "image->user", "user->answer", "system->answer")
MAPS = ("cam", "attention", "saliency")

Shape = tuple[int | str, ...]
"""Sizes by number, by letter (T, H, n, N, of the run), or free: the same name means the same size in one layer."""

HEAVY = frozenset({"weights"})


@dataclass(frozen=True, slots=True)
class Expected:
    """What one array must be.

    Attributes:
        shapes: Shapes allowed.
        kind: numpy's kind: "f", "i" or "b".
        optional: Whether it may be absent.
        lowest: Smallest value allowed, or None.
    """

    shapes: tuple[Shape, ...]
    kind: str = "f"
    optional: bool = False
    lowest: float | None = None


def _array(*shapes: Shape, kind: str = "f", optional: bool = False, lowest: float | None = None) -> Expected:
    return Expected(shapes, kind, optional, lowest)


ARRAYS: dict[str, dict[str, Expected]] = {
    "attention": {
        "share": _array(("T", "h", 4)),
        "value_share": _array(("T", "h", 4)),
        "sink": _array(("T", "h")),
        "image_rows": _array(("T", "n")),
        # Optional: run files of before version 0.2 lack these.
        "text_rows": _array(("T", "X"), optional=True),
        "head_rows": _array(("h", "n"), optional=True),
        "entropy": _array(("T", "h"), optional=True, lowest=0),
        "weights": _array(("T", "h", "N"), optional=True),
    },
    "cam": {"heat": _array((1, "n"), ("1+T", "n"), lowest=0)},
    "saliency": {"flow": _array((4, 4), lowest=0), "image_rows": _array(("T", "n"), lowest=0)},
    "truncation": {
        "logprob": _array(("T",)),
        "kl": _array(("T",)),
        "same": _array((), kind="b"),
        "ids": _array(("any",), kind="i"),
    },
    "lens": {
        "ids": _array(("T", "k"), kind="i", lowest=0),
        "probs": _array(("T", "k"), lowest=0),
        "rank": _array(("T",), kind="i", lowest=0),
        "prob": _array(("T",), lowest=0),
        "image_ids": _array(("n",), kind="i", optional=True, lowest=0),
        "image_probs": _array(("n",), optional=True, lowest=0),
    },
    "knockout": {"logprob": _array((len(EDGES), "T")), "base": _array(("T",))},
    "faithfulness": {
        "deletion": _array((len(MAPS) + 1, "S"), lowest=0),
        "insertion": _array((len(MAPS) + 1, "S"), lowest=0),
        "fraction": _array(("S",), lowest=0),
        "ranked": _array((len(MAPS),), kind="b"),
    },
    "matrix": {"share": _array(("C", "C"), lowest=0), "edges": _array(("1+C",), kind="i", lowest=0)},
}


def check_layer(run: Run, result: LayerResult) -> None:
    """Checks one layer's arrays against the run's shapes.

    Raises:
        ValueError: An array is missing, unknown, of the wrong shape or type, or holds a value that cannot be.
    """
    t, heads = len(run.answer.ids), run.model.heads
    n, whole = len(run.tokens.image_positions), len(run.tokens.ids)
    sizes = {"T": t, "n": n, "N": whole, "X": whole - n}
    where = f"{result.analysis} layer {result.layer}"
    expected = ARRAYS[result.analysis]
    if result.layer not in run.expected(result.analysis):
        raise ValueError(f"{where} is out of range")
    if unknown := result.arrays.keys() - expected.keys():
        raise ValueError(f"{where}: an array {min(unknown)[:40]!r} is not expected")
    for name, want in expected.items():
        if want.optional and name not in result.arrays:
            continue
        array = result.arrays[name]
        allowed = [_resolve(shape, sizes, array.shape) for shape in want.shapes]
        if array.shape not in allowed:
            raise ValueError(f"{where}: {name} has shape {array.shape}, expected {' or '.join(map(str, allowed))}")
        free = want.shapes[allowed.index(array.shape)]
        sizes |= {name: size for name, size in zip(free, array.shape, strict=True) if isinstance(name, str)}
        if array.dtype.kind != want.kind:
            raise ValueError(f"{where}: {name} is of type {array.dtype}")
        if not array.size or want.kind == "b":
            continue
        # Both ends are finite only if everything is: two passes over what may be many megabytes, and no copy.
        lowest = array.min()
        if want.kind == "f" and not (np.isfinite(lowest) and np.isfinite(array.max())):
            raise ValueError(f"{where}: {name} holds a value that is not finite")
        if want.lowest is not None and lowest < want.lowest:
            raise ValueError(f"{where}: {name} holds a value below {want.lowest:g}")
    if sizes.get("h", heads) not in (heads, 0):
        raise ValueError(f"{where}: share has shape {result.arrays['share'].shape}, expected {heads} heads")
    if result.analysis == "lens":
        ids = [result.arrays[name].ravel() for name in ("ids", "image_ids") if name in result.arrays]
        check_texts(result.text, set(np.concatenate(ids).tolist()))


def _resolve(shape: Shape, sizes: dict[str, int], found: tuple[int, ...]) -> tuple[int, ...]:
    """A shape in numbers; a size that is free takes what is found."""

    def size(name: int | str, here: int) -> int:
        if isinstance(name, int):
            return name
        base = sizes.get(name.removeprefix("1+"))
        return sizes.get(name, here if base is None else base + name.startswith("1+"))

    return tuple(size(name, found[i] if i < len(found) else 0) for i, name in enumerate(shape))
