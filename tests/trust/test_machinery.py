"""What runs the promises: cases that can be run again alone, and a document that says what was really run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.trust import ledger
from tests.trust.promise import Promise, Trial, figure
from tests.trust.registry import all_promises, chosen


def coin(trial: Trial) -> None:
    """Breaks in about half of the cases."""
    for case in trial.cases():
        trial.add("coins")
        if trial.rng(case).random() < 0.5:
            trial.fail(case, "tails")


COIN = Promise("coin", "fuzz", "Coins fall on heads", 1000, 10, coin)


def test_a_case_alone_does_what_it_did_among_all(tmp_path: Path) -> None:
    whole = Trial(5, 100, tmp_path)
    coin(whole)
    assert 20 < len(whole.failures) < 80
    assert whole.counts == {"coins": 100}
    for case in range(100):
        alone = Trial(5, 100, tmp_path, only=case)
        coin(alone)
        assert bool(alone.failures) == (case in dict(whole.failures))
    other = Trial(6, 100, tmp_path)
    coin(other)
    assert other.failures != whole.failures


def test_a_run_of_fewer_draws_among_all_there_are(tmp_path: Path) -> None:
    assert list(Trial(1, None, tmp_path).cases(50)) == list(range(50))
    assert list(Trial(1, 100, tmp_path).cases(50)) == list(range(50))
    few = list(Trial(1, 10, tmp_path).cases(50))
    assert (len(set(few)), few) == (10, sorted(few))
    assert few != list(Trial(2, 10, tmp_path).cases(50))


def test_time_that_is_over_shows(tmp_path: Path) -> None:
    trial = Trial(1, 100, tmp_path, until_s=time.monotonic() - 1)
    coin(trial)
    assert (trial.counts, trial.complete) == ({}, False)


def test_a_row_stays_until_its_promise_is_run_again(tmp_path: Path) -> None:
    other = Promise("dice", "faults", "Dice roll", None, 1, coin)
    row = {"date": "2026-01-02", "seed": 7, "seconds": 3.2, "counts": {"coins": 1000}, "failures": 0, "complete": True}
    ledger.record([COIN, other], "coin", row, tmp_path)
    assert "| Coins fall on heads | 1,000 coins (2026-01-02, 3 s, seed 7) |" in (tmp_path / "promises.md").read_text()
    ledger.record([COIN, other], "dice", row | {"failures": 3, "complete": False}, tmp_path)
    text = (tmp_path / "promises.md").read_text()
    assert "1,000 coins (2026-01-02, 3 s, seed 7)" in text
    assert "| Dice roll | **broken 3 times**; 1,000 coins; stopped before its end (2026" in text
    assert "`python -m tests.trust dice --full`" in text


def test_the_document_is_what_the_last_runs_gave() -> None:
    assert (ledger.DOCS / "promises.md").read_text() == ledger.document(all_promises(), ledger.read()), (
        "run: python -m tests.trust --document"
    )


def test_names_choose() -> None:
    fuzz = {promise.name for promise in chosen(["fuzz"])}
    assert "fuzzed-runs" in fuzz
    assert fuzz <= {promise.name for promise in chosen([])}
    done = subprocess.run([sys.executable, "-m", "tests.trust", "no-such"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such" in done.stderr


def test_the_figure_says_what_was_counted(tmp_path: Path) -> None:
    trial = Trial(1, 1, tmp_path)
    trial.add("kills", 1000)
    trial.add("corrupt reads", 0)
    trial.most("ms at most", 3.2)
    trial.most("ms at most", 1)
    assert figure(trial) == "1,000 kills, 0 corrupt reads, 4 ms at most"
