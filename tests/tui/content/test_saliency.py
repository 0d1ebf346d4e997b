from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import GROUPS, Analysis, LayerResult, Run
from flowtui.tui.summary import summarise
from tests.factories import random_run


def test_flows_are_the_stored_ones_from_key_to_query() -> None:
    run = random_run(layers=4)
    flows = summarise(run)["saliency"]["flow"]
    assert {"image->answer", "system->answer", "user->answer", "image->user", "system->image"} <= set(flows)
    for layer, result in run.analyses["saliency"].layers.items():
        for name, values in flows.items():
            key, query = name.split("->")
            assert values[layer] == float(result.arrays["flow"][GROUPS.index(query)][GROUPS.index(key)])
    # Rows are queries: the other way round there would be nothing.
    assert min(flows["image->answer"]) > 0


def test_peaks_lie_where_the_mean_over_answer_tokens_is_highest() -> None:
    run = random_run(layers=4)
    everything = summarise(run)["saliency"]
    one = summarise(run, 2)["saliency"]
    rows = run.analyses["saliency"].layers[2].arrays["image_rows"]
    mean = [sum(float(row[i]) for row in rows) / len(rows) for i in range(rows.shape[1])]
    row, col = divmod(mean.index(max(mean)), 12)
    assert everything["peak"][2] == one["peak"][0] == [row, col]
    assert everything["peak_span"] == [0] * 4
    # The same three float32 values added in float64, in another order.
    np.testing.assert_allclose(np.ravel(one["heat"][0]), mean, rtol=1e-12)
    assert one["flow"]["image->user"] == [everything["flow"]["image->user"][2]]
    assert "heat" not in everything


def test_missing_layers_are_null() -> None:
    run = random_run(layers=5)
    analysis = run.analyses["saliency"]
    run = run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k != 1}))
    content = summarise(run)["saliency"]
    assert [i for i, v in enumerate(content["flow"]["image->answer"]) if v is None] == [1]
    assert [i for i, v in enumerate(content["peak"]) if v is None] == [1]
    assert "heat" not in summarise(run, 1)["saliency"]
    assert summarise(run, 5)["saliency"]["peak"] == []


@pytest.mark.parametrize("answer", [(), ("red",)])
def test_a_map_without_values_has_no_peak(answer: tuple[str, ...]) -> None:
    run = random_run(layers=1, answer=answer, analyses=())
    arrays = {"flow": np.zeros((4, 4), np.float32), "image_rows": np.zeros((len(answer), 144), np.float32)}
    run = run.with_analysis(Analysis("saliency", {}, {0: LayerResult("saliency", 0, arrays)}))
    content = summarise(run, 0)["saliency"]
    assert content["peak"] == [None]
    assert ("heat" in content) == bool(answer)


def test_content_survives_the_run_file() -> None:
    run = random_run()
    assert summarise(Run.from_plain(run.to_plain()))["saliency"] == summarise(run)["saliency"]
