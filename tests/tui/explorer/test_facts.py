from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import LayerResult, Span
from flowtui.engine.spec import ANALYSES
from flowtui.tui.explorer.facts import Facts, Gap, Heat
from tests.factories import random_run

RUN = random_run()


def test_shares_by_hand() -> None:
    share = RUN.analyses["attention"].layers[4].arrays["share"].astype(np.float64)
    sink = RUN.analyses["attention"].layers[4].arrays["sink"].astype(np.float64)
    facts = Facts(RUN)
    for norm in ("all", "paper", "no-sink", "value"):
        assert facts.shares(None, norm).sum(axis=1) == pytest.approx(np.ones(12))
    mean = [sum(share[t, h, 1] for t in range(3) for h in range(4)) / 12]
    assert facts.shares(None, "all")[4, 1] == pytest.approx(mean[0])
    paper = [share[2, h, 1] / (share[2, h, 0] + share[2, h, 1] + share[2, h, 2]) for h in range(4)]
    assert facts.shares(2, "paper")[4, 1] == pytest.approx(sum(paper) / 4)
    assert facts.shares(2, "paper")[4, 3] == 0
    rest = [share[2, h, 1] / (share[2, h].sum() - sink[2, h]) for h in range(4)]
    assert facts.shares(2, "no-sink")[4, 1] == pytest.approx(sum(rest) / 4)


def test_shares_of_missing_layers_are_nan() -> None:
    attention = RUN.analyses["attention"]
    part = RUN.with_analysis(replace(attention, layers={3: attention.layers[3]}))
    made = Facts(part).shares(None, "all")
    assert np.isfinite(made[3]).all()
    assert np.isnan(np.delete(made, 3, axis=0)).all()
    assert Facts(part).gap("attention") == "attention: 11 of 12 layers missing."


def test_maps_are_divided_by_their_maximum_and_say_it() -> None:
    facts = Facts(RUN)
    heat = facts.heat("cam", 3, 1)
    raw = RUN.analyses["cam"].layers[3].arrays["heat"][2]
    assert isinstance(heat, Heat)
    assert heat.values * raw.max() == pytest.approx(raw)
    row, col = divmod(int(raw.argmax()), 12)
    assert heat.peak == f"peak row {row} col {col}"
    assert heat.high == f"{raw.max():.3g}"
    attention = facts.heat("attention", 3, None)
    rows = RUN.analyses["attention"].layers[3].arrays["image_rows"].mean(axis=0)
    assert isinstance(attention, Heat)
    assert attention.high == f"{100 * rows.max():.1f} %"


def test_zero_maps_stay_zero_and_are_explained() -> None:
    heat = Facts(RUN).heat("cam", 11, None)
    assert isinstance(heat, Heat)
    assert not heat.values.any()
    assert heat.note.startswith("Exactly zero: after the last attention")
    cam = RUN.analyses["cam"]
    zero = LayerResult("cam", 4, {"heat": np.zeros((4, 144), dtype=np.float32)})
    heat = Facts(RUN.with_analysis(replace(cam, layers={**cam.layers, 4: zero}))).heat("cam", 4, None)
    assert isinstance(heat, Heat)
    assert heat.note.startswith("Zero everywhere: no channel")


def test_maps_that_are_not_there() -> None:
    cam = RUN.analyses["cam"]
    together = {k: LayerResult("cam", k, {"heat": v.arrays["heat"][:1]}) for k, v in cam.layers.items()}
    facts = Facts(RUN.with_analysis(replace(cam, layers=together)))
    assert isinstance(facts.heat("cam", 0, None), Heat)
    gap = facts.heat("cam", 0, 1)
    assert isinstance(gap, Gap)
    assert "all answer tokens together" in gap.note
    spans = (Span(0, 14, 158, 0, 0, 0, (0.0, 0.0, 96.0, 96.0)),)
    blind = Facts(replace(RUN, tokens=replace(RUN.tokens, spans=spans)))
    gap = blind.heat("cam", 0, None)
    assert isinstance(gap, Gap)
    assert "no grid" in gap.note


def test_maps_survive_the_arrival_of_other_layers_and_not_of_their_own() -> None:
    facts = Facts(RUN)
    kept, other = facts.heat("cam", 3, None), facts.heat("cam", 4, None)
    new = replace(RUN.analyses["cam"].layers[4], text="new")
    after = Facts(RUN.with_layer(RUN.analyses["cam"].parameters, new), facts)
    assert after.heat("cam", 3, None) is kept
    assert after.heat("cam", 4, None) is not other


def test_curve_and_cliff() -> None:
    facts = Facts(RUN)
    curve = facts.curve(None)
    assert curve is not None
    assert curve.cliff == facts.cliff_layer == 7
    assert curve.kl == pytest.approx([2 - k / 12 if k < 7 else 0.001 for k in range(12)] + [0.0])
    assert curve.same == tuple(k >= 7 for k in range(13))
    assert facts.logprob(0, None) == pytest.approx(-9.0)
    assert facts.logprob(0, 2) == pytest.approx(-3.0)
    assert facts.text_at(0) == "a blue ring"
    none = Facts(random_run(analyses=()))
    assert none.curve(None) is None
    assert none.cliff is None
    assert none.missing == ANALYSES


def test_an_answer_without_tokens() -> None:
    facts = Facts(random_run(answer=()))
    assert facts.shares(None, "all").shape == (12, 4)
    assert isinstance(facts.heat("attention", 0, None), Heat)
    assert facts.curve(None) is not None
