"""Runs as plain data: exact round trips, and the refusal of every content that breaks a rule."""

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
from flowtui.engine.results import (
    Analysis,
    LayerResult,
    Prepared,
    Run,
    Span,
    Tokens,
    prepared_from_plain,
    prepared_to_plain,
)
from flowtui.engine.shapes import check_layer
from flowtui.engine.spec import CamParameters, parameters_to_plain
from flowtui.errors import RunFileError, UsageError
from tests.factories import random_run

LAYERS = 4
RUN = random_run(layers=LAYERS, heads=2, grid=(3, 4), seed=1)
PLAIN = RUN.to_plain()


def assert_same(a: Run, b: Run) -> None:
    assert (a.spec, a.model, a.answer, a.image_sizes, a.timings_s) == (
        b.spec,
        b.model,
        b.answer,
        b.image_sizes,
        b.timings_s,
    )
    for name in ("ids", "group"):
        left, right = getattr(a.tokens, name), getattr(b.tokens, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    assert (a.tokens.text, a.tokens.spans, a.tokens.answer_start) == (
        b.tokens.text,
        b.tokens.spans,
        b.tokens.answer_start,
    )
    assert list(a.analyses) == list(b.analyses)
    for name, left in a.analyses.items():
        right = b.analyses[name]
        assert (dict(left.parameters), left.seconds) == (dict(right.parameters), right.seconds)
        assert list(left.layers) == list(right.layers)
        for k, layer in left.layers.items():
            assert (layer.layer, layer.text, layer.analysis) == (k, right.layers[k].text, name)
            assert layer.arrays.keys() == right.layers[k].arrays.keys()
            for key, array in layer.arrays.items():
                other = right.layers[k].arrays[key]
                assert array.dtype == other.dtype
                np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("analyses", [(), ("attention",), ("attention", "cam", "truncation")])
@pytest.mark.parametrize("cliff", [None, 2])
def test_a_run_round_trips(analyses: tuple[str, ...], cliff: int | None) -> None:
    run = random_run(layers=LAYERS, cliff=cliff, analyses=analyses, seed=2)
    plain = run.to_plain()
    check_plain(plain)
    again = Run.from_plain(loads(pickle.dumps(plain, 4), "run.pkl"))
    assert_same(run, again)
    assert again.to_plain() == plain


def test_a_run_with_parts_missing_round_trips() -> None:
    partial = RUN.with_analysis(replace(RUN.analyses["cam"], layers={2: RUN.analyses["cam"].layers[2]}))
    again = Run.from_plain(partial.to_plain())
    assert again.missing("cam") == (0, 1, 3)
    assert_same(partial, again)


def test_the_trust_flag_and_heavy_arrays_stay_out() -> None:
    n = len(RUN.tokens.ids)
    heavy = {**RUN.analyses["attention"].layers[0].arrays, "weights": np.zeros((3, 2, n), np.float32)}
    layer = LayerResult("attention", 0, heavy)
    run = replace(RUN, spec=replace(RUN.spec, trust_remote_code=True)).with_layer(
        {"rows": "own", "weights": True}, layer
    )
    plain = run.to_plain()
    assert "trust_remote_code" not in plain["spec"]
    again = Run.from_plain(plain)
    assert again.spec.trust_remote_code is False
    assert "weights" not in again.analyses["attention"].layers[0].arrays
    # The cache's form keeps them.
    assert "weights" in LayerResult.from_bytes(layer.to_bytes()).arrays


def test_parameters_are_completed() -> None:
    plain = copy.deepcopy(PLAIN)
    plain["analyses"]["cam"]["parameters"] = {"site": "input"}
    expected = parameters_to_plain(CamParameters(site="input"))
    assert Run.from_plain(plain).analyses["cam"].parameters == expected


def test_what_is_missing_and_what_is_added() -> None:
    run = replace(RUN, analyses={})
    assert run.missing("attention") == (0, 1, 2, 3)
    assert run.missing("truncation") == (0, 1, 2, 3, 4)
    source = RUN.analyses["cam"]
    run = run.with_layer(source.parameters, source.layers[1]).with_layer(source.parameters, source.layers[3])
    assert run.missing("cam") == (0, 2)
    # Other parameters start afresh.
    run = run.with_layer({**source.parameters, "seed": 9}, source.layers[0])
    assert run.missing("cam") == (1, 2, 3)
    assert run.analyses["cam"].parameters["seed"] == 9


def test_stack_is_in_order_of_layers() -> None:
    layers = {k: LayerResult("cam", k, {"heat": np.full((1, 2), k, np.float32)}) for k in (3, 0, 2)}
    assert Analysis("cam", {}, layers).stack("heat")[:, 0, 0].tolist() == [0, 2, 3]


def test_values_go_to_the_grid_with_separators_left_out() -> None:
    # Two rows of three cells, each followed by a separator of the user's group: S I I I u I I I u U A.
    group = np.array([0, 1, 1, 1, 2, 1, 1, 1, 2, 2, 3], dtype=np.uint8)
    span = Span(0, 1, 9, 2, 3, 4, (0.0, 0.0, 1.0, 1.0))
    tokens = Tokens(np.arange(11), tuple("abcdefghijk"), group, (span,), 10)
    assert span.positions().tolist() == [[1, 2, 3], [5, 6, 7]]
    assert tokens.image_positions.tolist() == [1, 2, 3, 5, 6, 7]
    values = np.arange(12).reshape(2, 6)
    assert tokens.on_grid(values, span).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize(
    "change",
    [
        {"start": -1},
        {"end": 1000},
        {"start": 20, "end": 20},
        {"end": 25},
        {"rows": 4},
        {"cols": 5},
        {"rows": -3},
        {"rows": 0},
        {"cols": 0},
        {"rows": 10**9, "row_stride": 0},
        {"row_stride": 3},
        {"row_stride": -4},
        {"row_stride": 5},
        {"start": 13},
        {"start": 15, "end": 27},
    ],
)
def test_spans_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    (span,) = RUN.tokens.spans
    assert (span.start, span.end, span.rows, span.cols, span.row_stride) == (14, 26, 3, 4, 4)
    with pytest.raises(UsageError, match="image span"):
        replace(RUN.tokens, spans=(replace(span, **change),))


def test_a_span_without_a_grid_is_allowed() -> None:
    span = replace(RUN.tokens.spans[0], rows=0, cols=0, row_stride=0)
    assert replace(RUN.tokens, spans=(span,)).spans[0].positions().size == 0


def test_prepared_round_trips() -> None:
    prepared = Prepared(RUN.model, RUN.tokens, RUN.answer, RUN.image_sizes)
    plain = prepared_to_plain(prepared)
    check_plain(plain)
    again = Run.from_prepared(RUN.spec, prepared_from_plain(plain))
    assert_same(replace(RUN, analyses={}, timings_s={}), again)


# What is refused. Each entry changes a valid run's plain data in one place.


def put(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(plain: dict[str, Any]) -> None:
        at: Any = plain
        for name in parents:
            at = at[int(name) if isinstance(at, list) else name]
        at[int(last) if isinstance(at, list) else last] = value

    return change


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    *parents, last = path.split(".")

    def change(plain: dict[str, Any]) -> None:
        at: Any = plain
        for name in parents:
            at = at[int(name) if isinstance(at, list) else name]
        del at[last]

    return change


def layer(analysis: str, index: int, **arrays: Any) -> Callable[[dict[str, Any]], None]:
    """Replaces arrays of one layer (None takes one away); `layer`, `text` and `analysis` replace its description."""

    def change(plain: dict[str, Any]) -> None:
        old = RUN.analyses[analysis].layers[index]
        meta = {"analysis": analysis, "layer": str(index), "text": old.text}
        meta = {k: arrays.pop(k, v) for k, v in meta.items()}
        new = {k: v for k, v in {**old.arrays, **arrays}.items() if v is not None}
        plain["analyses"][analysis]["layers"][index] = pack(new, {k: v for k, v in meta.items() if v is not None})

    return change


def changed(array: str, analysis: str, value: float) -> np.ndarray[Any, Any]:
    copied = np.array(RUN.analyses[analysis].layers[1].arrays[array])
    copied.flat[-1] = value
    return copied


T, H, N_IMAGE = 3, 2, 12
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no format": (drop("format"), "not a flowtui run"),
    "other format": (put("format", "other"), "not a flowtui run"),
    "later version": (put("version", 2), "version '2'"),
    "no version": (drop("version"), "version"),
    "remote code": (put("spec.trust_remote_code", True), "remote code"),
    "remote code refused": (put("spec.trust_remote_code", False), "remote code"),
    "no spec": (drop("spec"), "spec"),
    "spec a list": (put("spec", []), ""),
    "unknown field": (put("spec.shell", "rm"), "shell"),
    "no image": (put("spec.images", []), "images"),
    "image is text": (put("spec.images", ["x"]), "images"),
    "images is bytes": (put("spec.images", b"x"), "images"),
    "question is bytes": (put("spec.question", b"x"), "text"),
    "question is blank": (put("spec.question", " "), "question"),
    "question is none": (put("spec.question", None), "text"),
    "model is a number": (put("spec.model", 7), "text"),
    "system is a list": (put("spec.system", []), "text"),
    "dtype is none": (put("spec.dtype", None), "text"),
    "token limit is text": (put("spec.max_new_tokens", "64"), "whole number"),
    "token limit is true": (put("spec.max_new_tokens", True), "whole number"),
    "token limit is zero": (put("spec.max_new_tokens", 0), "max_new_tokens"),
    "grouping unknown": (put("spec.grouping", "x"), "grouping"),
    "layers zero": (put("model.layers", 0), "model.layers"),
    "layers absurd": (put("model.layers", 10**12), "model.layers"),
    "layers a float": (put("model.layers", 4.0), "whole number"),
    "heads true": (put("model.heads", True), "whole number"),
    "model name missing": (drop("model.name"), "name"),
    "model with more": (put("model.extra", 1), "extra"),
    "directory is bytes": (put("model.directory", b"/"), "text"),
    "self-test is text": (put("model.self_test_error", "x"), ""),
    "id is a float": (put("tokens.ids.0", 1.5), "whole number"),
    "id is text": (put("tokens.ids.0", "1"), "whole number"),
    "id too large": (put("tokens.ids.0", 1 << 70), ""),
    "ids nested": (put("tokens.ids.0", [1]), "whole number"),
    "one id less": (lambda p: p["tokens"]["ids"].pop(), "differ in length"),
    "one text more": (lambda p: p["tokens"]["text"].append("x"), "differ in length"),
    "text is bytes": (put("tokens.text.0", b"x"), "text"),
    "group unknown": (put("tokens.group.0", 4), "group"),
    "group too large": (put("tokens.group.0", 300), ""),
    "group negative": (put("tokens.group.0", -1), ""),
    "group is true": (put("tokens.group.0", True), "whole number"),
    "answer group early": (put("tokens.answer_start", 30), "answer"),
    "answer start beyond": (put("tokens.answer_start", 1000), "answer"),
    "answer start text": (put("tokens.answer_start", "x"), "whole number"),
    "span beyond the end": (put("tokens.spans.0.end", 1000), "image span"),
    "span before the start": (put("tokens.spans.0.start", -1), "image span"),
    "span over other tokens": (put("tokens.spans.0.start", 13), "image span"),
    "span of many rows": (put("tokens.spans.0.rows", 10**9), "image span"),
    "span stride zero": (put("tokens.spans.0.row_stride", 0), "image span"),
    "span stride a float": (put("tokens.spans.0.row_stride", 4.0), "span is malformed"),
    "span start a float": (put("tokens.spans.0.start", 14.0), "span is malformed"),
    "span box short": (put("tokens.spans.0.box_px", [0, 0, 1]), "span is malformed"),
    "span box not a number": (put("tokens.spans.0.box_px", [0, 0, 1, math.nan]), "span is malformed"),
    "span with more": (put("tokens.spans.0.x", 1), ""),
    "span box missing": (drop("tokens.spans.0.box_px"), "box_px"),
    "answer id other": (put("answer.ids.0", 7), "differs"),
    "answer shorter": (lambda p: p["answer"]["ids"].pop(), "differs"),
    "answer token missing": (lambda p: p["answer"]["tokens"].pop(), "length"),
    "answer text none": (put("answer.text", None), "text"),
    "sizes missing": (put("image_sizes", []), "sizes"),
    "size zero": (put("image_sizes", [[0, 96]]), "sizes"),
    "size of three": (put("image_sizes", [[96, 96, 3]]), ""),
    "size a float": (put("image_sizes", [[96.0, 96]]), "whole number"),
    "timing is text": (put("timings_s", {"load": "x"}), ""),
    "timings a list": (put("timings_s", [1]), ""),
    "analyses a list": (put("analyses", []), ""),
    "analysis unknown": (put("analyses.magic", {"parameters": {}, "layers": [], "seconds": 0.0}), "unknown analysis"),
    "analysis without seconds": (drop("analyses.cam.seconds"), "seconds"),
    "parameter unknown": (put("analyses.cam.parameters.magic", 1), "magic"),
    "parameter of another kind": (put("analyses.cam.parameters.site", "nowhere"), "nowhere"),
    "parameters a list": (put("analyses.cam.parameters", []), ""),
    "layers a dict": (put("analyses.cam.layers", {"0": b""}), ""),
    "layer empty": (put("analyses.cam.layers.1", b""), "tensor block"),
    "layer is text": (put("analyses.cam.layers.1", "x"), "tensor block"),
    "layer of another analysis": (
        put("analyses.cam.layers.1", PLAIN["analyses"]["attention"]["layers"][1]),
        "under 'cam'",
    ),
    "layer twice": (put("analyses.cam.layers.1", PLAIN["analyses"]["cam"]["layers"][0]), "twice"),
    "layer out of range": (layer("cam", 3, layer="4"), "out of range"),
    "layer negative": (layer("cam", 3, layer="-1"), "out of range"),
    "layer not a number": (layer("cam", 3, layer="x"), "lacks"),
    "layer unnamed": (layer("cam", 3, layer=None), "lacks"),
    "k beyond L": (layer("truncation", 4, layer="5"), "out of range"),
    "share missing": (layer("attention", 1, share=None), "share"),
    "share transposed": (layer("attention", 1, share=np.zeros((H, T, 4), np.float32)), "shape (2, 3, 4)"),
    "share of five groups": (layer("attention", 1, share=np.zeros((T, H, 5), np.float32)), "shape"),
    "share not a number": (layer("attention", 1, share=changed("share", "attention", math.nan)), "not finite"),
    "sink infinite": (layer("attention", 1, sink=changed("sink", "attention", math.inf)), "not finite"),
    "share of whole numbers": (layer("attention", 1, share=np.zeros((T, H, 4), np.int64)), "type int64"),
    "image rows short": (layer("attention", 1, image_rows=np.zeros((T, N_IMAGE - 1), np.float32)), "shape"),
    "weights misshapen": (layer("attention", 1, weights=np.zeros((1, 1, 1), np.float32)), "shape"),
    "array unknown": (layer("attention", 1, extra=np.zeros(1)), "'extra'"),
    "heat of two maps": (layer("cam", 1, heat=np.zeros((2, N_IMAGE), np.float32)), "expected (1, 12) or (4, 12)"),
    "heat not a number": (layer("cam", 1, heat=changed("heat", "cam", math.nan)), "not finite"),
    "weights under cam": (layer("cam", 1, weights=np.zeros((T, H, 29), np.float32)), "'weights'"),
    "kl missing": (layer("truncation", 1, kl=None), "kl"),
    "kl of one more": (layer("truncation", 1, kl=np.zeros(T + 1, np.float32)), "shape"),
    "logprob infinite": (layer("truncation", 1, logprob=changed("logprob", "truncation", -math.inf)), "not finite"),
    "same a number": (layer("truncation", 1, same=np.array(1.0)), "type float64"),
    "same of three": (layer("truncation", 1, same=np.ones(3, bool)), "shape"),
    "ids missing": (layer("truncation", 1, ids=None), "ids"),
    "ids of floats": (layer("truncation", 1, ids=np.zeros(2)), "type float64"),
    "ids in two dimensions": (layer("truncation", 1, ids=np.zeros((2, 2), np.int32)), "shape"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_content_that_breaks_a_rule_is_refused(name: str) -> None:
    change, words = BROKEN[name]
    plain = copy.deepcopy(PLAIN)
    change(plain)
    with pytest.raises(RunFileError) as caught:
        Run.from_plain(plain)
    assert words in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("plain", [None, 7, "x", b"x", [], (), {}, [PLAIN], {"format": "flowtui-run", "version": 1}])
def test_what_is_no_run_at_all_is_refused(plain: object) -> None:
    with pytest.raises(RunFileError):
        Run.from_plain(plain)


def test_any_part_replaced_by_any_plain_value_is_a_run_or_one_error() -> None:
    # Every place in the plain data, every kind of value: never anything but RunFileError.
    values: list[object] = [None, True, -1, 1 << 70, 1.5, math.nan, "x", b"x", [], [[]], (), {}, {"x": {}}]

    def places(at: object, path: str = "") -> list[str]:
        items = at.items() if isinstance(at, dict) else enumerate(at[:2]) if isinstance(at, list) else ()
        return [p for k, v in items for p in (f"{path}.{k}".lstrip("."), *places(v, f"{path}.{k}".lstrip(".")))]

    accepted = refused = 0
    for place in places(PLAIN):
        for value in values:
            plain = copy.deepcopy(PLAIN)
            put(place, value)(plain)
            try:
                run = Run.from_plain(plain)
            except RunFileError:
                refused += 1
            else:
                accepted += 1
                check_plain(run.to_plain())
    assert refused > 500
    assert accepted > 10


def test_layer_entries_that_lack_something_are_refused() -> None:
    for meta in ({}, {"analysis": "cam", "layer": "1"}, {"analysis": "cam", "layer": "one", "text": ""}):
        with pytest.raises(RunFileError, match="lacks"):
            LayerResult.from_bytes(pack({}, meta))


def test_check_layer_accepts_every_layer_of_a_valid_run() -> None:
    for analysis in RUN.analyses.values():
        for result in analysis.layers.values():
            check_layer(RUN, result)
    arrays = RUN.analyses["attention"].layers[0].arrays
    weights = np.zeros((T, H, len(RUN.tokens.ids)), np.float32)
    check_layer(RUN, LayerResult("attention", 0, {**arrays, "weights": weights}))
    check_layer(RUN, LayerResult("cam", 0, {"heat": np.zeros((1, N_IMAGE), np.float32)}))


def test_a_run_file_does_not_say_where_the_weights_are() -> None:
    run = random_run()
    run = replace(run, model=replace(run.model, directory="/home/somebody/weights"))
    assert Run.from_plain(run.to_plain()).model == replace(run.model, directory=None)
    assert "somebody" not in repr(run.to_plain())
