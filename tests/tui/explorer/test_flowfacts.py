import numpy as np
import pytest

from flowtui.engine.results import GROUPS
from flowtui.engine.shapes import EDGES
from flowtui.tui.explorer.flowfacts import SOURCES, FlowFacts
from tests.factories import random_run
from tests.tui.explorer.screens import without

RUN = random_run()


def test_flows_by_hand() -> None:
    flows = FlowFacts(RUN)
    raw = RUN.analyses["saliency"].layers[4].arrays["flow"].astype(np.float64)
    for i, name in enumerate(SOURCES):
        assert flows.flow[4, i] == raw[GROUPS.index("answer"), GROUPS.index(name)]
    assert flows.share[4, 0] == pytest.approx(raw[3, 1] / (raw[3, 0] + raw[3, 1] + raw[3, 2]))
    assert flows.to_user[4] == raw[2, 1]
    assert flows.heights("share").sum(axis=1) == pytest.approx(np.ones(12))
    assert flows.heights("absolute").sum(axis=1).max() == pytest.approx(1)


def test_the_log_scale_reaches_from_the_smallest_to_the_largest() -> None:
    flows = FlowFacts(RUN)
    low, high = flows.decades
    assert high == flows.flow.max()
    assert low <= flows.flow.min()
    heights = flows.heights("log")
    assert heights.max() == pytest.approx(1)
    assert (heights > 0).all()
    flows.flow[3] = [0, 1e-30, 1]
    assert flows.heights("log")[3].tolist() == [0, 1e-6, 1]


def test_losses_by_hand() -> None:
    flows = FlowFacts(RUN)
    arrays = RUN.analyses["knockout"].layers[2].arrays
    by_token = arrays["logprob"].astype(np.float64) - arrays["base"]
    assert flows.lost(1)[2] == pytest.approx(by_token[:, 1])
    assert flows.lost(None)[2] == pytest.approx(by_token.sum(axis=1))
    assert flows.lost(None).shape == (12, len(EDGES))


def test_the_strongest_first() -> None:
    flows = FlowFacts(RUN)
    ranked = flows.ranked("absolute")
    assert sorted(ranked) == list(range(12))
    assert (np.diff(flows.flow[ranked, 0]) <= 0).all()
    assert ranked != flows.ranked("share")


def test_what_is_missing_is_nan_and_nothing_fails_without_anything() -> None:
    flows = FlowFacts(without(without(RUN, "saliency", 3), "knockout", 5))
    assert np.isnan(flows.flow[3]).all()
    assert np.isnan(flows.heights("share")[3]).all()
    assert np.isfinite(np.delete(flows.flow, 3, axis=0)).all()
    assert 3 not in flows.ranked("share")
    assert np.isnan(flows.lost(None)[5]).all()
    none = FlowFacts(random_run(analyses=()))
    assert none.window is None
    assert none.ranked("share") == []
    assert none.top == 0
    assert none.decades == (1, 1)
    for scale in ("share", "absolute", "log"):
        assert np.isnan(none.heights(scale)).all()
    assert FlowFacts(random_run(answer=())).lost(None).shape == (12, 4)


def test_a_layer_where_nothing_flows_has_no_shares() -> None:
    run = random_run()
    run.analyses["saliency"].layers[6].arrays["flow"][:] = 0
    assert FlowFacts(run).share[6].tolist() == [0, 0, 0]
