import numpy as np
import pytest

from flowtui.engine.results import GROUPS
from flowtui.tui.explorer.matrixfacts import MatrixFacts
from tests.factories import random_run
from tests.tui.explorer.screens import without

RUN = random_run()


def test_blocks_by_hand() -> None:
    found = MatrixFacts(RUN).at(5)
    assert found is not None
    share = RUN.analyses["matrix"].layers[5].arrays["share"].astype(np.float64)
    edges = RUN.analyses["matrix"].layers[5].arrays["edges"]
    group = RUN.tokens.group
    # The same from tokens: each token has its cell's row, a cell's share spread over its tokens.
    sizes = np.diff(edges)
    rows = np.repeat(share, sizes, axis=0)
    whole = np.repeat(rows / sizes, sizes, axis=1)
    for q, k in np.ndindex(4, 4):
        expected = whole[group == q][:, group == k].sum(axis=1).mean()
        assert found.blocks[q, k] == pytest.approx(expected)
    assert found.blocks.sum(axis=1) == pytest.approx(np.ones(4))
    assert [count for _, count in found.runs] == [4, 36, 3, 1]
    assert [GROUPS[group] for group, _ in found.runs] == list(GROUPS)
    assert found.tokens.tolist() == sizes.tolist()


def test_the_strongest_first_and_what_is_missing() -> None:
    facts = MatrixFacts(without(RUN, "matrix", 3))
    looks = {layer: facts.at(layer).blocks[3, 1] for layer in range(12) if layer != 3}
    assert facts.ranked() == sorted(looks, key=lambda layer: -looks[layer])
    assert facts.at(3) is None
    assert MatrixFacts(random_run(analyses=())).ranked() == []


def test_a_group_without_tokens_has_no_row() -> None:
    found = MatrixFacts(random_run(answer=())).at(0)
    assert found is not None
    assert np.isnan(found.blocks[3]).all()
    assert np.isnan(found.blocks[:, 3]).all()
    assert found.blocks[:3, :3].sum(axis=1) == pytest.approx(np.ones(3))
