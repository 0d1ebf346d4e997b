"""Query tokens on the image: the projection of their values, its plain form, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flowtui.cache.pickledata import loads
from flowtui.cache.plain import check_plain
from flowtui.cache.tensors import pack
from flowtui.engine import protocol
from flowtui.engine.results import (
    Prepared,
    Projection,
    Run,
    Span,
    Tokens,
    prepared_from_plain,
    prepared_to_plain,
)
from flowtui.engine.sequence import MAX_CELLS
from flowtui.errors import RunFileError, UsageError
from tests.factories import projected_run

BOX = (0.0, 0.0, 8.0, 8.0)
# The first query looks left, most of all up; the second at the lower right, and with a quarter at no place.
WEIGHTS = np.array([[0.75, 0.0, 0.25, 0.0], [0.0, 0.0, 0.0, 0.75]], dtype=np.float32)
LOOK = Projection(WEIGHTS, 2, 2, BOX)
# S I I u I I A: two query tokens, and an image with two cells of its own.
GROUP = np.array([0, 1, 1, 2, 1, 1, 3], dtype=np.uint8)
QUERIES = Span(0, 1, 3, 0, 0, 0, (0.0, 0.0, 10.0, 10.0))
CELLS = Span(1, 4, 6, 1, 2, 2, (0.0, 0.0, 2.0, 1.0))


def tokens(*projections: Projection | None) -> Tokens:
    return Tokens(np.arange(7), tuple("abcdefg"), GROUP, (QUERIES, CELLS), 6, projections)


def test_two_by_two_worked_by_hand() -> None:
    some = tokens(LOOK, None)
    values = np.array([[4.0, 8.0, 1.0, 2.0], [0.0, 1.0, 0.0, 3.0]])
    # 4 * (.75, 0, .25, 0) + 8 * (0, 0, 0, .75); and the same of 0 and 1.
    assert some.on_grid(values, QUERIES).tolist() == [[[3, 0], [1, 6]], [[0, 0], [0, 0.75]]]
    assert some.on_grid(values[0], QUERIES).tolist() == [[3, 0], [1, 6]]
    assert some.on_grid(values, CELLS).tolist() == [[[1, 2]], [[0, 3]]]


def test_the_grid_of_a_span_is_its_own_or_the_projection_s() -> None:
    assert tokens(LOOK, None).grid_of(QUERIES) == (2, 2, BOX)
    assert tokens(LOOK, None).grid_of(CELLS) == (1, 2, CELLS.box_px)
    assert tokens().grid_of(QUERIES) is None
    assert tokens().grid_of(CELLS) == (1, 2, CELLS.box_px)
    assert tokens().on_grid(np.arange(4.0), QUERIES).size == 0


@pytest.mark.parametrize(
    "projections",
    [
        (LOOK,),
        (LOOK, None, None),
        # A span with a grid of its own, and one of another number of tokens.
        (None, LOOK),
        (Projection(WEIGHTS[:1], 2, 2, BOX), None),
    ],
)
def test_projections_that_do_not_fit_their_spans(projections: tuple[Projection | None, ...]) -> None:
    with pytest.raises(UsageError, match=r"[Pp]rojection"):
        tokens(*projections)


def test_a_projection_of_other_tokens_than_the_image_s() -> None:
    with pytest.raises(UsageError, match="image span 2:4"):
        replace(tokens(), spans=(replace(QUERIES, start=2, end=4),), projections=(LOOK,))


RUN = projected_run()
PLAIN = RUN.to_plain()


def test_a_run_round_trips() -> None:
    check_plain(PLAIN)
    again = Run.from_plain(loads(pickle.dumps(PLAIN, 4), "run.pkl"))
    (mine,), (other,) = RUN.tokens.projections, again.tokens.projections
    assert mine is not None
    assert other is not None
    assert (other.rows, other.cols, other.box_px) == (mine.rows, mine.cols, mine.box_px)
    assert other.weights.dtype == np.float32
    np.testing.assert_array_equal(mine.weights, other.weights)
    assert again.to_plain() == PLAIN


def test_a_run_file_of_before_has_none() -> None:
    plain = copy.deepcopy(PLAIN)
    del plain["tokens"]["projections"]
    assert Run.from_plain(plain).tokens.projections == ()
    # Where there are none nothing is written, so that an older flowtui reads the file.
    assert "projections" not in Run.from_plain(plain).to_plain()["tokens"]


def test_the_engine_s_reply_carries_them() -> None:
    """As many as the largest Q-Former has: 32 queries over 26 x 26 patches and over a grid at the limit."""
    for rows, cols in ((26, 26), (256, 256)):
        big = Projection(np.full((32, rows * cols), 1 / MAX_CELLS, np.float32), rows, cols, BOX)
        some = projected_run(queries=32).tokens
        prepared = Prepared(RUN.model, replace(some, projections=(big,)), RUN.answer, RUN.image_sizes)
        frame = protocol.encode("engine", "prepared", id=1, prepared=prepared_to_plain(prepared), seconds=0.1)
        again = prepared_from_plain(protocol.decode("engine", frame[4:])["prepared"]).tokens
        np.testing.assert_array_equal(again.on_grid(np.ones(32), again.spans[0]), np.full((rows, cols), 2.0**-11))


def weights(**arrays: Any) -> bytes:
    return pack(arrays, {})


ROWS, COLS, N = 3, 4, 5
GOOD = np.full((N, ROWS * COLS), 1 / 16, dtype=np.float32)


def with_value(value: float) -> np.ndarray[Any, Any]:
    changed = GOOD.copy()
    changed[-1, -1] = value
    return changed


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "unknown field": (lambda p: p.update(extra=1), "malformed"),
    "no weights": (lambda p: p.pop("weights"), "weights"),
    "no box": (lambda p: p.pop("box_px"), "malformed"),
    "weights a list": (lambda p: p.update(weights=GOOD.tolist()), "tensor block"),
    "another array": (lambda p: p.update(weights=weights(weights=GOOD, more=GOOD)), "malformed"),
    "weights negative": (lambda p: p.update(weights=weights(weights=with_value(-0.01))), "weight"),
    "weights infinite": (lambda p: p.update(weights=weights(weights=with_value(math.inf))), "weight"),
    "weights not numbers": (lambda p: p.update(weights=weights(weights=with_value(math.nan))), "weight"),
    "more than a whole": (lambda p: p.update(weights=weights(weights=with_value(0.4))), "more of a token"),
    "weights of float64": (lambda p: p.update(weights=weights(weights=GOOD.astype(np.float64))), "3 x 4 cells"),
    "weights flat": (lambda p: p.update(weights=weights(weights=GOOD[0])), "3 x 4 cells"),
    "weights in a grid": (lambda p: p.update(weights=weights(weights=GOOD.reshape(N, ROWS, COLS))), "3 x 4 cells"),
    "a query less": (lambda p: p.update(weights=weights(weights=GOOD[1:])), "image span"),
    "rows zero": (lambda p: p.update(rows=0), "malformed"),
    "rows negative": (lambda p: p.update(rows=-3, cols=-4), "malformed"),
    "rows a float": (lambda p: p.update(rows=3.0), "whole number"),
    "other cols": (lambda p: p.update(cols=5), "3 x 5 cells"),
    "too many cells": (lambda p: p.update(rows=1 << 10, cols=1 << 10), "malformed"),
    "box short": (lambda p: p.update(box_px=[0, 0, 1]), ""),
    "box infinite": (lambda p: p.update(box_px=[0, 0, math.inf, 1]), "rectangle"),
    "box of text": (lambda p: p.update(box_px="0123x"), ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_projection_that_breaks_a_rule_is_refused(name: str) -> None:
    change, words = BROKEN[name]
    plain = copy.deepcopy(PLAIN)
    (projection,) = plain["tokens"]["projections"]
    change(projection)
    with pytest.raises(RunFileError) as caught:
        Run.from_plain(plain)
    assert words in caught.value.message


@pytest.mark.parametrize("value", [None, 7, [7], ["x"], [{}], [b"x"], [None, None]])
def test_projections_that_are_none(value: object) -> None:
    plain = copy.deepcopy(PLAIN)
    plain["tokens"]["projections"] = value
    with pytest.raises(RunFileError):
        Run.from_plain(plain)
