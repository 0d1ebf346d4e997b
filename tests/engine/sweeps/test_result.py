"""Sweep files: what is written is read, equal sweeps are equal bytes, and what does not fit is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowtui.cache.runfile import read_plain, write_plain
from flowtui.engine.results import Run
from flowtui.engine.sweeps.kind import is_sweep
from flowtui.engine.sweeps.result import Sweep
from flowtui.errors import RunFileError, UsageError
from tests.factories import random_run, random_sweep


def test_what_is_written_is_read(tmp_path: Path) -> None:
    sweep = random_sweep()
    write_plain(tmp_path / "s.pkl", sweep.to_plain())
    again = Sweep.from_plain(read_plain(tmp_path / "s.pkl"))
    assert again.items == sweep.items
    assert (again.metrics, again.options, again.model) == (sweep.metrics, sweep.options, sweep.model)
    for a, b in zip(again.curves, sweep.curves, strict=True):
        assert a.label == b.label
        for name in ("text", "logprob", "kl", "same"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert again.traits is not None
    assert sweep.traits is not None
    np.testing.assert_array_equal(again.traits.items, sweep.traits.items)
    assert again.traits.values.keys() == sweep.traits.values.keys()
    write_plain(tmp_path / "t.pkl", again.to_plain())
    assert (tmp_path / "t.pkl").read_bytes() == (tmp_path / "s.pkl").read_bytes()


def test_counts_follow_the_texts() -> None:
    sweep = random_sweep(items=6)
    curve = sweep.curves[0]
    numerator, denominator = sweep.counts("accuracy", curve)
    assert (denominator == 1).all()
    for i, item in enumerate(sweep.items):
        for k in range(sweep.layers + 1):
            assert numerator[i, k] == (sweep.text(curve, i, k).lower() == item.truth["answer"])
            assert curve.same[i, k] == (sweep.text(curve, i, k) == item.answer)


def test_labels_and_images() -> None:
    sweep = random_sweep(items=10)
    assert [curve.label for curve in sweep.curves] == ["all", "top-16", "random-16"]
    assert sweep.with_image.tolist() == [True] * 9 + [False]
    assert len(set(sweep.clusters.tolist())) == 5


def test_a_large_sweep_stays_within_the_caps_on_values() -> None:
    plain = random_sweep(items=3000, traits=False).to_plain()
    assert len(pickle.dumps(plain)) < 3 << 20
    assert sum(1 for _ in _values(plain)) < 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 9}, "version '9'"),
        ({"items": b"{}\n"}, "KeyError"),
        ({"items": b"[1]\n"}, "TypeError"),
        ({"items": "text"}, "AttributeError"),
        ({"curves": []}, "needs items, and curves"),
        ({"metrics": [["f1", False]]}, "counts of item 'q0'"),
        ({"options": []}, "options"),
        ({"traits": b"junk"}, "tensor block"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RunFileError, match=reason):
        Sweep.from_plain(random_sweep().to_plain() | change)


def test_arrays_of_another_shape_are_refused() -> None:
    sweep = random_sweep()
    curve = sweep.curves[0]
    for bad in (
        replace(curve, kl=curve.kl[:, :-1]),
        replace(curve, text=curve.text.astype(np.int64)),  # type: ignore[arg-type]
        replace(curve, text=curve.text + np.uint16(2)),
    ):
        with pytest.raises(UsageError):
            replace(sweep, curves=(bad,))


def test_numbers_that_are_none_are_refused() -> None:
    sweep = random_sweep(traits=False)
    curve = sweep.curves[0]
    plain = replace(sweep, curves=(replace(curve, kl=curve.kl - 9),)).to_plain()
    with pytest.raises(RunFileError, match="value that is none"):
        Sweep.from_plain(plain)


def test_a_run_is_no_sweep_and_a_sweep_no_run() -> None:
    run, sweep = random_run(analyses=()).to_plain(), random_sweep().to_plain()
    assert is_sweep(sweep)
    assert not is_sweep(run)
    with pytest.raises(RunFileError, match="not a flowtui sweep"):
        Sweep.from_plain(run)
    with pytest.raises(RunFileError, match="not a flowtui run"):
        Run.from_plain(sweep)


def _values(plain: object) -> Any:
    yield plain
    if isinstance(plain, dict):
        plain = list(plain.values())
    if isinstance(plain, (list, tuple)):
        for item in plain:
            yield from _values(item)
