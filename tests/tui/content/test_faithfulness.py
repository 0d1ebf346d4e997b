from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from flowtui.engine.results import Analysis, LayerResult, Run
from flowtui.engine.shapes import MAPS
from flowtui.tui.content.faithfulness import curves
from flowtui.tui.summary import summarise
from tests.factories import random_run


def trapezoids(xs: np.ndarray, ys: np.ndarray) -> float:
    points = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))


def test_areas_are_sums_of_trapezoids() -> None:
    run = random_run(layers=4)
    content = summarise(run)["faithfulness"]
    assert tuple(content["maps"]) == MAPS
    assert content["fraction"] == pytest.approx([i / 8 for i in range(9)])
    assert content["site"] == "post_attention"
    for layer, result in run.analyses["faithfulness"].layers.items():
        for kind in ("deletion", "insertion"):
            for i, name in enumerate((*MAPS, "random")):
                found = content["maps"][name][f"{kind}_auc"][layer] if i < 3 else content["random"][f"{kind}_auc"]
                # Eight products of the same float32 values in float64, in another order.
                assert found == pytest.approx(trapezoids(result.arrays["fraction"], result.arrays[kind][i]), abs=1e-12)


def test_by_hand() -> None:
    # Over 0, 1/2, 1: a curve that falls from 1 to 0 at once has 1/4, one that falls at the end 3/4, a straight one 1/2.
    deletion = np.array([[1, 0, 0], [1, 1, 0], [1, 0.5, 0], [0.25, 0.25, 0.25]], dtype=np.float32)
    arrays = {
        "deletion": deletion,
        "insertion": deletion[:, ::-1].copy(),
        "fraction": np.array([0, 0.5, 1], dtype=np.float32),
        "ranked": np.array([False, True, True]),
    }
    run = random_run(layers=1, analyses=())
    run = run.with_analysis(Analysis("faithfulness", {}, {0: LayerResult("faithfulness", 0, arrays)}))
    content = summarise(run, 0)["faithfulness"]
    assert [content["maps"][name]["deletion_auc"] for name in MAPS] == [[0.25], [0.75], [0.5]]
    assert [content["maps"][name]["ranked"] for name in MAPS] == [[False], [True], [True]]
    assert content["maps"]["attention"]["deletion"] == [1, 1, 0]
    assert content["maps"]["attention"]["insertion"] == [0, 1, 1]
    assert content["random"] == {
        "deletion_auc": 0.25,
        "insertion_auc": 0.25,
        "deletion": [0.25] * 3,
        "insertion": [0.25] * 3,
    }


def test_missing_layers_are_null_and_one_layer_reduces() -> None:
    run = random_run(layers=5)
    analysis = run.analyses["faithfulness"]
    run = run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k != 0}))
    everything = summarise(run)["faithfulness"]
    for values in everything["maps"]["saliency"].values():
        assert [i for i, v in enumerate(values) if v is None] == [0]
    assert everything["maps"]["cam"]["ranked"] == [None, True, True, True, False]
    # The first layer that is there speaks for what is the same in all.
    assert everything["random"]["deletion_auc"] is not None
    assert len(everything["fraction"]) == 9
    one = summarise(run, 3)["faithfulness"]
    assert one["maps"]["cam"]["deletion_auc"] == [everything["maps"]["cam"]["deletion_auc"][3]]
    gone = summarise(run, 0)["faithfulness"]
    assert gone["fraction"] is gone["random"]["deletion_auc"] is None
    assert gone["maps"]["cam"] == {"deletion_auc": [None], "insertion_auc": [None], "ranked": [None]}


def test_whole_curves_are_the_stored_ones() -> None:
    run = random_run(layers=3)
    for item in curves(run):
        arrays = run.analyses["faithfulness"].layers[item["layer"]].arrays
        for kind in ("deletion", "insertion"):
            np.testing.assert_array_equal([item[kind][name] for name in (*MAPS, "random")], arrays[kind])
    assert [item["layer"] for item in curves(run)] == [0, 1, 2]


def test_it_survives_the_run_file() -> None:
    run = random_run(layers=3)
    assert summarise(Run.from_plain(run.to_plain()), 1)["faithfulness"] == summarise(run, 1)["faithfulness"]
