from dataclasses import replace

import numpy as np
import pytest

from flowtui.tui.draw.graphics import HalfBlock
from flowtui.tui.explorer.comparefacts import against, cells, likeness, next_against, sides, spearman
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.look import Look
from flowtui.tui.explorer.painter import Painter
from tests.factories import projected_run, random_run
from tests.tui.explorer.screens import without

RUN = random_run()
FACTS, PAINTER = Facts(RUN), Painter(RUN, HalfBlock())


def test_spearman_by_hand() -> None:
    assert spearman(np.array([1, 2, 3, 4]), np.array([10, 20, 30, 400])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])) == pytest.approx(-1)
    # Ranks 1 2.5 2.5 4 against 1 2 3 4: 4.5 / sqrt(4.5 * 5).
    assert spearman(np.array([0, 1, 1, 9]), np.array([1, 2, 3, 4])) == pytest.approx(4.5 / np.sqrt(22.5))
    assert spearman(np.zeros(4), np.array([1, 2, 3, 4])) is None


def test_likeness_by_hand() -> None:
    left, right = sides(FACTS, PAINTER, Look(layer=2, pinned=5))
    assert (left.layer, right.layer, left.kind, right.kind) == (5, 2, "cam", "cam")
    a, b = (RUN.analyses["cam"].layers[layer].arrays["heat"][0].astype(np.float64) for layer in (5, 2))
    found = likeness(left, right)
    assert found is not None
    assert found.overlap == pytest.approx(np.minimum(a / a.sum(), b / b.sum()).sum(), rel=1e-5)
    assert found.high == pytest.approx(np.abs(b / b.max() - a / a.max()).max(), rel=1e-5)
    top = [set(np.argsort(-values)[:14]) for values in (a, b)]
    assert (found.hottest, found.shared) == (14, len(top[0] & top[1]))


def test_a_map_is_like_itself() -> None:
    found = likeness(*sides(FACTS, PAINTER, Look(layer=2, pinned=2)))
    assert found is not None
    assert found.rank == pytest.approx(1)
    assert found.overlap == pytest.approx(1)
    assert found.shared == found.hottest
    assert found.high == 0


def test_zero_maps_have_no_numbers_and_missing_ones_no_likeness() -> None:
    found = likeness(*sides(FACTS, PAINTER, Look(layer=11, pinned=5)))
    assert found is not None
    assert (found.rank, found.overlap, found.shared) == (None, None, None)
    part = without(RUN, "cam", 5)
    assert likeness(*sides(Facts(part), PAINTER, Look(layer=2, pinned=5))) is None


def test_two_runs_compare_where_their_grids_are_the_same() -> None:
    left, _ = sides(FACTS, PAINTER, Look())
    same, other = Facts(random_run(seed=3)), Facts(random_run(grid=(6, 6)))
    assert likeness(left, sides(same, PAINTER, Look())[1]) is not None
    assert likeness(left, sides(other, PAINTER, Look())[1]) is None


def test_cells_of_query_tokens_are_those_of_their_grid() -> None:
    run = projected_run()
    (projection,) = run.tokens.projections
    values = np.arange(5.0)
    assert cells(run, values) == pytest.approx(values @ projection.weights)


def test_what_is_compared() -> None:
    assert against(Look()) == "attention"
    assert against(Look(pinned=3)) is None
    assert against(Look(pinned=3, against="saliency")) == "saliency"
    assert against(Look(kind="saliency", against="saliency")) == "cam"
    look, found = Look(pinned=3), []
    for _ in range(4):
        look = replace(look, against=next_against(look))
        found.append(look.against)
    assert found == ["attention", "saliency", None, "attention"]
    assert next_against(Look()) == "saliency"
    assert next_against(Look(against="saliency")) == "attention"


def test_the_head_of_the_attention_map_is_kept() -> None:
    left, right = sides(FACTS, PAINTER, Look(layer=4, head=2, against="attention"))
    assert right.heat is FACTS.heat("attention", 4, None, 2)
    assert left.heat is FACTS.heat("cam", 4, None)
