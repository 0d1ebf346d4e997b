from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.place import demo_directory
from flowtui.engine.results import GROUPS, Analysis, LayerResult, Run, Span
from flowtui.errors import UsageError
from flowtui.tui.summary import peak_cell, summarise
from tests.factories import random_run

FIELDS = {
    "model", "model_dir", "layers", "image_tokens", "tokens", "groups", "answer", "attention", "saliency", "cam",
    "truncation", "cliff", "lens", "knockout", "faithfulness", "timings_s",
}  # fmt: skip


def test_every_field_is_there_and_json_takes_it() -> None:
    content = summarise(random_run())
    assert set(content) == FIELDS
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_shares_are_means_over_tokens_and_heads_and_sum_to_one() -> None:
    run = random_run()
    share = summarise(run)["attention"]["share"]
    # The oracle adds up one number at a time; both sides add the same few dozen float32 values in float64.
    for layer, result in run.analyses["attention"].layers.items():
        values = result.arrays["share"]
        for i, group in enumerate(GROUPS):
            one_by_one = [float(values[t, h, i]) for t in range(values.shape[0]) for h in range(values.shape[1])]
            assert share[group][layer] == pytest.approx(sum(one_by_one) / len(one_by_one), abs=1e-12)
        # Each stored row sums to 1 within float32 rounding of four numbers.
        assert sum(share[g][layer] for g in GROUPS) == pytest.approx(1, abs=1e-6)


def test_groups_are_half_open_and_tile_the_tokens() -> None:
    content = summarise(random_run())
    assert [content["groups"][g] for g in GROUPS] == [[0, 14], [14, 158], [158, 167], [167, 170]]
    for name, (start, end) in content["groups"].items():
        assert content["tokens"]["group"][start:end] == [name] * (end - start)


def test_peaks_lie_where_the_heat_is_highest() -> None:
    run = random_run()
    cam = summarise(run)["cam"]
    assert cam["grid"] == [12, 12]
    for layer, result in run.analyses["cam"].layers.items():
        heat = result.arrays["heat"][0]
        if layer == run.model.layers - 1:
            assert not heat.any()
            assert cam["peak"][layer] is None
        else:
            row, col = cam["peak"][layer]
            assert heat[row * 12 + col] == max(heat)


def test_peak_of_several_spans_names_the_span_and_skips_separators() -> None:
    run = random_run(grid=(4, 5), analyses=())
    # Two tiles in the 20 image tokens: 2 x 3 with a separator after each row (8 tokens), and 3 x 4.
    spans = (Span(0, 14, 22, 2, 3, 4, (0, 0, 9, 9)), Span(1, 22, 34, 3, 4, 4, (0, 0, 9, 9)))
    run = replace(run, tokens=replace(run.tokens, spans=spans))
    heat = np.zeros(20, dtype=np.float32)
    heat[3] = 9.0
    assert peak_cell(run, heat) is None
    heat[8 + 4 + 2] = 2.0
    heat[4 + 1] = 1.0
    assert peak_cell(run, heat) == (1, 1, 2)


def test_truncation_follows_k_from_0_to_l() -> None:
    run = random_run(layers=5, cliff=3)
    content = summarise(run)
    curve = content["truncation"]
    assert curve["k"] == [0, 1, 2, 3, 4, 5]
    assert curve["same_answer"] == [False, False, False, True, True, True]
    assert curve["logprob"] == pytest.approx([-9] * 3 + [-0.3] * 3)
    assert curve["kl"][:3] == pytest.approx([2.0, 1.8, 1.6])
    assert content["cliff"]["k"] == 3
    assert content["cliff"]["eta"] == 0.05
    assert content["cliff"]["rule"]


def test_no_cliff_is_null_with_its_rule() -> None:
    cliff = summarise(random_run(cliff=None))["cliff"]
    assert cliff["k"] is None
    assert cliff["rule"]


def test_missing_analyses_are_null() -> None:
    run = random_run(analyses=())
    content = summarise(replace(run, model=replace(run.model, name="somebody/elsewhere")))
    assert {k for k, v in content.items() if v is None} == {
        "model_dir", "attention", "cam", "saliency", "truncation", "cliff", "lens", "knockout", "faithfulness"
    }  # fmt: skip


def test_the_models_directory_is_found_by_its_name() -> None:
    assert summarise(random_run())["model_dir"] == str(demo_directory())
    run = random_run()
    assert summarise(replace(run, model=replace(run.model, directory="/loaded/here")))["model_dir"] == "/loaded/here"


def test_missing_layers_are_null_and_hide_the_cliff() -> None:
    run = random_run()
    for name in ("attention", "cam", "truncation"):
        analysis = run.analyses[name]
        run = run.with_analysis(replace(analysis, layers={k: v for k, v in analysis.layers.items() if k != 2}))
    content = summarise(run)
    assert content["attention"]["share"]["image"].index(None) == 2
    assert content["cam"]["peak"][2] is None
    assert content["truncation"]["text"].index(None) == 2
    assert content["cliff"] is None


def test_one_layer_reduces_every_list_and_adds_heads() -> None:
    run = random_run()
    everything, one = summarise(run), summarise(run, 4)
    assert one["layer"] == 4
    assert one["attention"]["share"]["image"] == [everything["attention"]["share"]["image"][4]]
    assert one["cam"]["peak"] == [everything["cam"]["peak"][4]]
    assert one["truncation"]["k"] == [4]
    assert one["cliff"] == everything["cliff"]
    share = one["attention"]["share"]["image"][0]
    assert np.mean(one["attention"]["heads"]["image"]) == pytest.approx(share)
    assert np.mean(one["attention"]["answer_tokens"]["image"]) == pytest.approx(share)
    row, col = one["cam"]["peak"][0]
    assert np.max(one["cam"]["heat"][0]) == one["cam"]["heat"][0][row][col]


@pytest.mark.parametrize("layer", [-1, 13])
def test_a_layer_out_of_range_is_a_usage_error(layer: int) -> None:
    with pytest.raises(UsageError, match="layers 0 to 11"):
        summarise(random_run(), layer)


def test_an_empty_answer_has_no_shares() -> None:
    run = random_run(answer=(), analyses=())
    arrays = {"share": np.zeros((0, 4, 4), np.float32)}
    curve = {"logprob": np.zeros(0), "kl": np.zeros(0), "same": np.array(True)}
    run = run.with_analysis(Analysis("attention", {}, {0: LayerResult("attention", 0, arrays)}))
    run = run.with_analysis(Analysis("truncation", {}, {0: LayerResult("truncation", 0, curve)}))
    content = summarise(run, 0)
    assert content["attention"]["share"]["image"] == [None]
    assert content["truncation"]["kl"] == [None]
    assert content["groups"]["answer"] is None


def test_content_survives_the_run_file() -> None:
    run = random_run()
    assert summarise(Run.from_plain(run.to_plain())) == summarise(run)
