"""Every promise, in its short form; `make faults` and `make fuzz` run the full counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trust.promise import Promise, Trial, figure
from tests.trust.registry import all_promises

SEED = 1
"""The same at every run of the tests: a run in full draws its own."""


@pytest.mark.parametrize("promise", all_promises(), ids=lambda promise: promise.name)
def test_promise(promise: Promise, tmp_path: Path) -> None:
    if reason := promise.cannot():
        pytest.skip(reason)
    trial = Trial(SEED, promise.short, tmp_path)
    promise.run(trial)
    print(f"seed {SEED}: {figure(trial)}")
    again = [f"{what}\n  again: {promise.replay(SEED, case)}" for case, what in trial.failures]
    assert not again, "\n".join(again[:20])
    assert any(trial.counts.values()), "nothing was counted"
