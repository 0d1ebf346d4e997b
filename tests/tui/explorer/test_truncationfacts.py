import numpy as np
import pytest

from flowtui.tui.explorer.truncationfacts import TruncationFacts
from tests.factories import random_run
from tests.tui.explorer.screens import without

RUN = random_run()


def test_logprob_and_texts() -> None:
    facts = TruncationFacts(RUN)
    assert facts.logprob(None)[[0, 7, 12]] == pytest.approx([-9.0, -0.3, -0.3])
    assert facts.logprob(1)[[0, 7, 12]] == pytest.approx([-3.0, -0.1, -0.1])
    assert facts.texts[0] == "a blue ring"
    assert facts.texts[12] == "a red circle"


def test_missing_k_and_missing_everything() -> None:
    facts = TruncationFacts(without(RUN, "truncation", 4))
    assert np.isnan(facts.logprob(None)[4])
    assert np.isfinite(np.delete(facts.logprob(None), 4)).all()
    assert facts.texts[4] is None
    assert np.isnan(TruncationFacts(random_run(analyses=())).logprob(None)).all()
    assert TruncationFacts(random_run(answer=())).logprob(None).tolist() == [0.0] * 13


def test_the_largest_fall_first() -> None:
    facts = TruncationFacts(RUN)
    assert facts.ranked(np.array([3.0, 3.0, 1.0, 1.5, 0.0])) == [2, 4]
    assert facts.ranked(np.array([3.0, np.nan, 1.0, 0.0])) == [3]
