from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import Analysis, LayerResult, Run
from flowtui.engine.shapes import EDGES
from flowtui.tui.summary import summarise
from tests.factories import random_run


def test_changes_are_against_the_untouched_model() -> None:
    run = random_run(layers=4)
    content = summarise(run)["knockout"]
    assert content["window"] == 5
    assert tuple(content["edges"]) == EDGES
    for layer, result in run.analyses["knockout"].layers.items():
        before = [float(v) for v in result.arrays["base"]]
        for i, edge in enumerate(EDGES):
            after = [float(v) for v in result.arrays["logprob"][i]]
            # The same few float32 values added in float64.
            assert content["edges"][edge]["logprob"][layer] == pytest.approx(sum(after) - sum(before), abs=1e-12)
            lost = math.exp(sum(after)) - math.exp(sum(before))
            assert content["edges"][edge]["prob"][layer] == pytest.approx(lost, abs=1e-12)
            assert content["edges"][edge]["logprob"][layer] < 0


def test_by_hand() -> None:
    # Two tokens of probability 1/2 each; cutting the image from the answer halves the first, the rest changes nothing.
    half = math.log(0.5)
    logprob = np.full((4, 2), half, dtype=np.float32)
    logprob[0, 0] = math.log(0.25)
    run = random_run(layers=1, answer=("a", "b"), analyses=())
    arrays = {"logprob": logprob, "base": np.full(2, half, dtype=np.float32)}
    run = run.with_analysis(Analysis("knockout", {"window": 1}, {0: LayerResult("knockout", 0, arrays)}))
    edges = summarise(run, 0)["knockout"]["edges"]
    # float32 holds a logarithm to about 1e-7.
    assert edges["image->answer"]["logprob"] == pytest.approx([half], abs=1e-6)
    assert edges["image->answer"]["prob"] == pytest.approx([0.125 - 0.25], abs=1e-6)
    assert edges["image->answer"]["answer_tokens"] == pytest.approx([half, 0], abs=1e-6)
    assert edges["user->answer"] == {"logprob": [0], "prob": [0], "answer_tokens": [0, 0]}


def test_missing_layers_are_null_and_one_layer_reduces() -> None:
    run = random_run(layers=5)
    analysis = run.analyses["knockout"]
    run = run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k != 2}))
    everything = summarise(run)["knockout"]["edges"]["image->user"]
    assert [i for i, v in enumerate(everything["logprob"]) if v is None] == [2]
    assert [i for i, v in enumerate(everything["prob"]) if v is None] == [2]
    one = summarise(run, 3)["knockout"]["edges"]["image->user"]
    assert one["logprob"] == [everything["logprob"][3]]
    assert sum(one["answer_tokens"]) == pytest.approx(one["logprob"][0])
    assert summarise(run, 2)["knockout"]["edges"]["image->user"] == {"logprob": [None], "prob": [None]}
    # K = L belongs to the truncation curve alone.
    assert summarise(run, 5)["knockout"]["edges"]["image->user"] == {"logprob": [], "prob": []}


def test_a_probability_never_passes_one() -> None:
    run = random_run(layers=1, analyses=())
    arrays = {"logprob": np.full((4, 3), 3e4, dtype=np.float32), "base": np.zeros(3, dtype=np.float32)}
    run = run.with_analysis(Analysis("knockout", {"window": 5}, {0: LayerResult("knockout", 0, arrays)}))
    assert summarise(run)["knockout"]["edges"]["image->answer"]["prob"] == [0]


def test_it_survives_the_run_file() -> None:
    run = random_run(layers=3)
    assert summarise(Run.from_plain(run.to_plain()))["knockout"] == summarise(run)["knockout"]
