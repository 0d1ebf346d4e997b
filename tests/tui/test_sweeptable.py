"""A sweep as text, CSV and JSON, against numbers counted another way."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from flowtui.tui.sweepsummary import summarise_sweep
from flowtui.tui.sweeptable import to_csv, to_text
from flowtui.tui.sweeptraits import compare
from flowtui.tui.table import to_json
from tests.factories import random_sweep


def test_scores_are_those_of_the_texts() -> None:
    sweep = random_sweep(items=30)
    content = json.loads(to_json(summarise_sweep(sweep)))
    row = content["rows"][1]
    assert (row["metric"], row["cut"]) == ("accuracy", "top-16")
    imaged = [i for i, item in enumerate(sweep.items) if item.image is not None]
    for k in range(13):
        right = [sweep.text(sweep.curves[1], i, k).lower() == sweep.items[i].truth["answer"] for i in imaged]
        assert row["score"][k] == pytest.approx(sum(right) / len(right))
        same = [sweep.text(sweep.curves[1], i, k) == sweep.items[i].answer for i in imaged]
        assert content["curves"][1]["same"][k] == pytest.approx(sum(same) / len(same))
    assert row["baseline_interval"][0] <= row["baseline"] <= row["baseline_interval"][1]
    apart = [i for i in range(30) if i not in imaged]
    right = [sweep.items[i].answer.lower() == sweep.items[i].truth["answer"] for i in apart]
    assert content["text_only"] == {"accuracy": pytest.approx(sum(right) / len(right))}


def test_the_kl_screen_counts_the_sweeps_own_pairs() -> None:
    sweep = random_sweep(items=30)
    screens = json.loads(to_json(summarise_sweep(sweep)))["screens"]
    assert [screen["cut"] for screen in screens] == ["all", "top-16", "random-16"]
    imaged = [i for i, item in enumerate(sweep.items) if item.image is not None]
    for screen, cut in zip(screens, sweep.curves, strict=True):
        for eta, passed, changed in zip(screen["eta"], screen["passed"], screen["changed"], strict=True):
            pairs = [(i, k) for i in imaged for k in range(12) if float(cut.kl[i, k]) <= eta]
            wrong = [sweep.text(cut, i, k) != sweep.items[i].answer for i, k in pairs]
            assert passed == pytest.approx(len(pairs) / len(imaged) / 12)
            assert changed == pytest.approx(sum(wrong) / len(pairs) if pairs else 0)
        assert screen["verdict"] in to_text(summarise_sweep(sweep))


def test_the_text_has_a_point_at_every_k_and_a_verdict() -> None:
    text = to_text(summarise_sweep(random_sweep(items=30)))
    plot = text.split("\n\n")[1].splitlines()
    assert sum(line.count("●") for line in plot) == 13
    assert "No cliff" in text or "From K =" in text
    assert "gains" in text


def test_csv_has_a_line_for_each_k_cut_and_metric() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(summarise_sweep(random_sweep(items=30))))))
    assert len(rows) == 3 * 13
    assert {row["cut"] for row in rows} == {"all", "top-16", "random-16"}


def test_a_sweep_without_images_has_nothing_to_cut() -> None:
    sweep = random_sweep(items=4, traits=False)
    sweep = replace(sweep, items=tuple(replace(item, image=None) for item in sweep.items))
    assert "nothing to cut" in to_text(summarise_sweep(sweep))


def test_control_characters_do_not_reach_the_terminal() -> None:
    sweep = random_sweep(items=4)
    sweep = replace(sweep, notes=("\x1b]0;x\x07",), model=replace(sweep.model, name="\x1b[2J"))
    assert "\x1b" not in to_text(summarise_sweep(sweep))


def test_kept_and_lost_are_counted_by_hand() -> None:
    sweep = random_sweep(items=40)
    found = compare(sweep, 2)
    assert found is not None
    assert sweep.traits is not None
    groups: dict[str, list[int]] = {"kept": [], "lost": [], "gained": [], "other": []}
    for row, i in enumerate(sweep.traits.items.tolist()):
        truth = sweep.items[i].truth["answer"]
        before = sweep.items[i].answer.lower() == truth
        after = sweep.text(sweep.curves[0], i, 2).lower() == truth
        groups["kept" if before and after else "lost" if before else "gained" if after else "other"].append(row)
    assert found["items"] == {name: len(rows) for name, rows in groups.items()}
    values = sweep.traits.values["cam.focus"].astype(float)
    kept, lost = values[groups["kept"]], values[groups["lost"]]
    shown = found["values"]["cam.focus"]
    np.testing.assert_allclose(shown["difference"], lost.mean(0) - kept.mean(0))
    error = np.sqrt(lost.var(0, ddof=1) / len(lost) + kept.var(0, ddof=1) / len(kept))
    np.testing.assert_allclose(shown["error"], error)
    assert compare(replace(sweep, traits=None), 2) is None


def test_a_trait_that_is_nowhere_is_none() -> None:
    sweep = random_sweep(items=20)
    assert sweep.traits is not None
    gone = {name: np.full_like(rows, np.nan) for name, rows in sweep.traits.values.items()}
    found = compare(replace(sweep, traits=replace(sweep.traits, values=gone)), 2)
    assert found is not None
    assert found["values"]["cam.peak"]["kept"] == [None] * 12
