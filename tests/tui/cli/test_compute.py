from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from flowtui.engine.results import Run
from flowtui.errors import CancelledError, EngineError, UsageError
from flowtui.tui.cli.compute import SharedEngine, Work, choose, finish
from flowtui.tui.cli.files import read_run
from tests.factories import random_run


def without(run: Run, analysis: str, *layers: int) -> Run:
    """The run without some layers of an analysis."""
    found = run.analyses[analysis]
    return run.with_analysis(replace(found, layers={k: v for k, v in found.layers.items() if k not in layers}))


def test_a_complete_run_asks_for_nothing() -> None:
    assert choose(random_run(), ("attention", "cam", "truncation"), {}, None) == []


def test_only_what_is_missing_is_asked_for() -> None:
    run = without(random_run(analyses=("cam", "truncation")), "truncation", 0, 12)
    found = {r.analysis: r.layers for r in choose(run, ("attention", "cam", "truncation"), {}, None)}
    assert found == {"attention": tuple(range(12)), "truncation": (0, 12)}


def test_layers_narrow_every_analysis() -> None:
    found = {r.analysis: r.layers for r in choose(random_run(analyses=()), ("cam", "truncation"), {}, (0, 11, 12))}
    assert found == {"cam": (0, 11), "truncation": (0, 11, 12)}


def test_force_asks_for_what_is_there() -> None:
    (request,) = choose(random_run(), ("cam",), {}, (4,), force=True)
    assert request.layers == (4,)


def test_a_run_keeps_its_parameters_and_others_start_afresh() -> None:
    run = random_run()
    smooth = replace(run.analyses["cam"], parameters={**run.analyses["cam"].parameters, "variant": "smooth"}, layers={})
    (request,) = choose(run.with_analysis(smooth), ("cam",), {}, None)
    assert request.parameters.variant == "smooth"  # type: ignore[union-attr]
    (request,) = choose(run, ("cam",), {"cam": {"variant": "code"}}, None)
    assert (request.parameters.variant, request.layers) == ("code", tuple(range(12)))  # type: ignore[union-attr]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(UsageError, match="no layer 12"):
        choose(random_run(), ("cam",), {}, (12,))
    with pytest.raises(UsageError, match="not asked for"):
        choose(random_run(), ("cam",), {"truncation": {"r": 3}}, None)


@pytest.mark.parametrize(
    ("failure", "raised"), [(EngineError("gone"), EngineError), (KeyboardInterrupt(), CancelledError)]
)
def test_what_was_reached_is_written_before_the_error(
    tmp_path: Path, failure: BaseException, raised: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    work = Work(tmp_path / "run.pkl")

    async def job() -> None:
        work.run = random_run(analyses=("cam",))
        work.computed["cam"] += 12
        await asyncio.sleep(0)
        raise failure

    with pytest.raises(raised):
        finish(work, job(), asyncio.run)
    assert set(read_run(work.path).analyses) == {"cam"}
    assert "flowtui precompute" in capsys.readouterr().err


def test_nothing_reached_writes_nothing(tmp_path: Path) -> None:
    work = Work(tmp_path / "run.pkl")

    async def job() -> None:
        raise EngineError("gone")

    with pytest.raises(EngineError):
        finish(work, job(), asyncio.run)
    assert not list(tmp_path.iterdir())


def test_work_says_what_it_did() -> None:
    work = Work(Path("x"))
    assert not work.done
    work.cached["cam"] += 2
    assert work.describe() == "nothing computed, from the cache cam (2)"
    work.computed["attention"] += 1
    assert work.describe() == "computed attention (1); from the cache cam (2)"


def test_a_single_job_gets_no_engine_of_its_own() -> None:
    with SharedEngine("ssh://127.0.0.1:1", 1) as shared:
        assert shared.client is None
        shared.run(asyncio.sleep(0))


def test_an_engine_that_is_not_there_is_an_error() -> None:
    with pytest.raises(EngineError), SharedEngine("ssh://127.0.0.1:1", 2):
        pass
