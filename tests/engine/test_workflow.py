"""From a spec to a complete run: cache before engine, once for all processes, nothing lost when someone stops."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowtui.cache.store import LayerCache
from flowtui.engine import client as client_module
from flowtui.engine.analyses import run_analysis
from flowtui.engine.client import EngineClient
from flowtui.engine.inputs import prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.protocol import spec_to_plain
from flowtui.engine.results import LayerResult, Run
from flowtui.engine.spec import PARAMETERS, AttentionParameters, CamParameters, RunSpec, TruncationParameters
from flowtui.engine.transport import Target
from flowtui.engine.workflow import Progress, Request, Update, complete, create_run
from flowtui.errors import EngineError, FlowtuiError, ModelError, OutOfMemoryError, ProtocolError, UsageError
from tests.engine.fake_engine import LAYERS, expected_layer, fake_run, heavy_rows
from tests.factories import png

FAKE = Path(__file__).with_name("fake_engine.py")
ATTENTION = Request("attention", AttentionParameters())
CAM = Request("cam", CamParameters())
TRUNCATION = Request("truncation", TruncationParameters())
EVERYTHING = (ATTENTION, CAM, TRUNCATION)

Engines = Callable[..., None]


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Engines:
    """Makes every engine that is started a fake one of the behaviour given last; at first none can be started."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def behave(**behaviour: Any) -> None:
        command = (sys.executable, str(FAKE), json.dumps({"count": str(tmp_path / "count"), **behaviour}))
        monkeypatch.setattr(client_module, "find_target", lambda engine: Target(command))

    def refuse(engine: str) -> Target:
        raise AssertionError("an engine was started")

    monkeypatch.setattr(client_module, "find_target", refuse)
    return behave


@pytest.fixture
def no_engine(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, starting an engine fails the test."""

    def forbid() -> None:
        def refuse(engine: str) -> Target:
            raise AssertionError("an engine was started")

        monkeypatch.setattr(client_module, "find_target", refuse)

    return forbid


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    """A cache of this test's own."""
    with LayerCache.open(tmp_path / "cache") as opened:
        yield opened


def bare_run() -> Run:
    return replace(fake_run(), analyses={}, timings_s={})


def counted(tmp_path: Path) -> list[str]:
    path = tmp_path / "count"
    return path.read_text().split("\n")[:-1] if path.exists() else []


async def all_updates(run: Run, *requests: Request, **options: Any) -> list[Update]:
    return [update async for update in complete(run, requests, **options)]


def results(updates: list[Update]) -> list[tuple[str, int, bool]]:
    return [(u.result.analysis, u.result.layer, u.cached) for u in updates if u.result]


async def test_create_run_holds_what_the_engine_found(engines: Engines) -> None:
    engines()
    stages: list[str] = []
    async with await EngineClient.start() as client:
        run = await create_run(fake_run().spec, client=client, on_progress=lambda p: stages.append(p.stage))
    assert stages == ["fit", "load", "prepare"]
    assert run.answer == fake_run().answer
    assert run.tokens.ids.tolist() == fake_run().tokens.ids.tolist()
    assert set(run.timings_s) == {"load", "prepare"}
    assert not run.analyses


async def test_what_does_not_fit_is_refused_before_it_is_loaded(engines: Engines, tmp_path: Path) -> None:
    engines(fit={"weights": 100, "too_big": 1})
    wanted = [(CamParameters(), None)]
    async with await EngineClient.start() as client:
        with pytest.raises(OutOfMemoryError, match=r"cam of 30 tokens needs about 2\.0 MiB"):
            await create_run(fake_run().spec, client=client, wanted=wanted)
        await create_run(fake_run().spec, client=client)
    assert counted(tmp_path) == ["start", "fit", "fit", "load", "prepare"]
    (tmp_path / "count").unlink()
    with pytest.raises(OutOfMemoryError, match="cam"):
        await all_updates(bare_run(), CAM, ATTENTION)
    assert counted(tmp_path) == ["start", "fit"]
    engines(fit={"weights": 2 << 30})
    with pytest.raises(OutOfMemoryError, match=r"weights of .* need 2\.0 GiB"):
        await all_updates(bare_run(), CAM)


async def test_it_is_asked_once_for_all_that_is_missing(engines: Engines, tmp_path: Path) -> None:
    engines(fit={"weights": 100})
    run = (await all_updates(bare_run(), CAM, ATTENTION))[-1].run
    assert counted(tmp_path).count("fit") == 1
    assert run.missing("attention") == ()


async def test_a_bare_run_becomes_complete_and_a_second_time_starts_no_engine(
    engines: Engines, no_engine: Callable[[], None], cache: LayerCache, tmp_path: Path
) -> None:
    engines()
    updates = await all_updates(bare_run(), *EVERYTHING, cache=cache)
    run = updates[-1].run
    for name in ("attention", "cam", "truncation"):
        assert run.missing(name) == ()
        for layer in run.expected(name):
            assert run.analyses[name].layers[layer].to_bytes() == expected_layer(name, layer).to_bytes()
        assert run.timings_s[name] == run.analyses[name].seconds > 0
    assert not any(cached for _, _, cached in results(updates))
    stages = [u.progress.stage for u in updates if u.progress]
    assert list(dict.fromkeys(stages)) == ["start", "fit", "load", "prepare", "attention", "cam", "truncation"]
    assert counted(tmp_path)[:3] == ["start", "load", "prepare"]
    assert len(counted(tmp_path)) == 3 + LAYERS + LAYERS + LAYERS + 1
    assert Run.from_plain(run.to_plain()).to_plain() == run.to_plain()

    no_engine()
    again = await all_updates(bare_run(), *EVERYTHING, cache=cache)
    assert len(results(again)) == 3 * LAYERS + 1
    assert all(cached for _, _, cached in results(again))
    assert again[-1].cached
    assert again[-1].notice == f"Nothing to compute: {3 * LAYERS + 1} layers came from the cache."
    for name, analysis in again[-1].run.analyses.items():
        for layer, result in analysis.layers.items():
            assert result.to_bytes() == expected_layer(name, layer).to_bytes()
    nothing = await all_updates(run, *EVERYTHING, cache=None)
    assert [(u.cached, u.notice) for u in nothing] == [(True, "Nothing to compute: everything was there.")]


async def test_only_what_is_missing_is_computed(engines: Engines, cache: LayerCache, tmp_path: Path) -> None:
    engines()
    first = await all_updates(bare_run(), replace(CAM, layers=(2, 0, 2)), cache=cache)
    assert sorted(results(first)) == [("cam", 0, False), ("cam", 2, False)]
    second = await all_updates(bare_run(), CAM, cache=cache)
    # Cached layers come first, before an engine is started.
    assert results(second) == [("cam", 0, True), ("cam", 2, True), ("cam", 1, False), ("cam", 3, False)]
    assert second[2].progress == Progress("start")
    assert second[-1].notice is None
    assert [line for line in counted(tmp_path) if line.startswith("cam")] == ["cam 0", "cam 2", "cam 1", "cam 3"]
    # What the run holds is not even looked up.
    third = await all_updates(first[-1].run, CAM, cache=None)
    assert results(third) == [("cam", 1, False), ("cam", 3, False)]
    assert third[-1].run.missing("cam") == ()


async def test_force_computes_again_and_replaces_the_cache(engines: Engines, cache: LayerCache, tmp_path: Path) -> None:
    engines()
    run = (await all_updates(bare_run(), CAM, cache=cache))[-1].run
    forced = await all_updates(run, CAM, cache=cache, force=True)
    assert results(forced) == [("cam", layer, False) for layer in range(LAYERS)]
    assert counted(tmp_path).count("cam 1") == 2


async def test_other_parameters_are_other_layers(engines: Engines, cache: LayerCache) -> None:
    engines()
    run = (await all_updates(bare_run(), CAM, cache=cache))[-1].run
    smooth = await all_updates(run, Request("cam", CamParameters(variant="smooth")), cache=cache)
    assert not any(cached for _, _, cached in results(smooth))
    assert smooth[-1].run.analyses["cam"].parameters["variant"] == "smooth"
    assert smooth[-1].run.missing("cam") == ()


def _regrouped(run: Run) -> Run:
    group = run.tokens.group.copy()
    group[3] = 2
    return replace(run, tokens=replace(run.tokens, group=group))


@pytest.mark.parametrize(
    ("request_", "change"),
    [
        (ATTENTION, _regrouped),
        (TRUNCATION, lambda run: replace(run, spec=replace(run.spec, max_new_tokens=3))),
        (TRUNCATION, lambda run: replace(run, answer=replace(run.answer, stopped=False))),
        (CAM, lambda run: replace(run, spec=replace(run.spec, images=(b"other",)))),
        (CAM, lambda run: replace(run, model=replace(run.model, fingerprint="e" * 32))),
        (CAM, lambda run: replace(run, model=replace(run.model, dtype="bfloat16"))),
    ],
)
async def test_runs_that_differ_in_what_the_numbers_depend_on_share_nothing(
    engines: Engines, no_engine: Callable[[], None], cache: LayerCache, request_: Request, change: Callable[[Run], Run]
) -> None:
    engines()
    await all_updates(bare_run(), request_, cache=cache)
    no_engine()
    with pytest.raises(AssertionError, match="an engine was started"):
        await all_updates(change(bare_run()), request_, cache=cache)


async def test_heavy_rows_come_from_the_cache_for_a_run_file_that_holds_none(
    engines: Engines, no_engine: Callable[[], None], cache: LayerCache
) -> None:
    engines()
    heavy = Request("attention", AttentionParameters(weights=True))
    run = (await all_updates(bare_run(), heavy, cache=cache))[-1].run
    light = Run.from_plain(run.to_plain())
    assert "weights" not in light.analyses["attention"].layers[2].arrays
    no_engine()
    updates = await all_updates(light, replace(heavy, layers=(2,)), cache=cache)
    found = updates[-1].run.analyses["attention"].layers
    np.testing.assert_array_equal(found[2].arrays["weights"], heavy_rows(2))
    assert "weights" not in found[1].arrays


async def test_an_engine_killed_in_the_middle_is_an_error_and_its_layers_survive(
    engines: Engines, cache: LayerCache, tmp_path: Path
) -> None:
    engines(kill=2)
    seen: list[Update] = []

    async def watch() -> None:
        async for update in complete(bare_run(), [CAM], cache=cache):
            seen.append(update)

    with pytest.raises(EngineError, match="SIGKILL"):
        await watch()
    assert [layer for _, layer, _ in results(seen)] == [0, 1]
    engines()
    updates = await all_updates(bare_run(), CAM, cache=cache)
    assert results(updates) == [("cam", 0, True), ("cam", 1, True), ("cam", 2, False), ("cam", 3, False)]


@pytest.mark.parametrize("way", ["aclose", "cancel"])
async def test_a_consumer_that_leaves_stops_the_engine_and_keeps_the_layers(
    engines: Engines, no_engine: Callable[[], None], cache: LayerCache, way: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    engines(spin=3, first={"3": str(gate)})
    started: list[EngineClient] = []
    begin = EngineClient.start

    async def remember(*args: Any, **options: Any) -> EngineClient:
        started.append(await begin(*args, **options))
        return started[-1]

    first = asyncio.Event()

    async def consume() -> None:
        async with aclosing(complete(bare_run(), [CAM], cache=cache)) as updates:
            async for update in updates:
                if update.result:
                    if not first.is_set():
                        # Opens once the engine reads it, which is when it has made layers 0, 1 and 2.
                        await asyncio.to_thread(gate.write_bytes, b"")
                    first.set()
                    if way == "aclose":
                        return

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EngineClient, "start", remember)
        task = asyncio.create_task(consume())
        await first.wait()
        if way == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task
    assert not started[0].alive
    no_engine()
    # Layers 0, 1 and 2 had been made when the engine heeded the cancel.
    updates = await all_updates(bare_run(), replace(CAM, layers=(0, 1, 2)), cache=cache)
    assert [layer for _, layer, _ in results(updates)] == [0, 1, 2]
    # Its lock is free.
    engines()
    assert (await all_updates(bare_run(), CAM, cache=cache))[-1].run.missing("cam") == ()


async def test_a_damaged_entry_is_computed_again_and_mentioned(
    engines: Engines, cache: LayerCache, tmp_path: Path
) -> None:
    engines()
    await all_updates(bare_run(), CAM, cache=cache)
    # Whole for the cache, but not what its key promises: another layer's entry.
    wrong = expected_layer("cam", 1).to_bytes()
    for entry in cache.entries():
        if entry.layer == 2:
            assert cache.put(entry.key, wrong)
    updates = await all_updates(bare_run(), CAM, cache=cache)
    assert [(layer, cached) for _, layer, cached in results(updates)] == [(0, True), (1, True), (3, True), (2, False)]
    again = await all_updates(bare_run(), CAM, cache=cache)
    assert again[-1].cached


async def test_a_cache_that_cannot_be_used_is_no_obstacle(engines: Engines, cache: LayerCache) -> None:
    engines()
    cache.close()
    updates = await all_updates(bare_run(), CAM, cache=cache)
    assert updates[-1].run.missing("cam") == ()


@pytest.mark.parametrize(
    ("behaviour", "error", "text"),
    [
        ({"fingerprint": "0123456789abcdef" * 2}, ModelError, "fingerprint"),
        ({"ids_shift": 1}, ModelError, "tokens"),
        ({"heads": True}, ProtocolError, "shape"),
        ({"skip": 1}, ProtocolError, "left out"),
        ({"raise": ["load", "ModelError", "No weights."]}, ModelError, "No weights"),
    ],
)
async def test_an_engine_that_does_not_fit_the_run_is_refused(
    engines: Engines, cache: LayerCache, behaviour: dict[str, Any], error: type[FlowtuiError], text: str
) -> None:
    engines(**behaviour)
    with pytest.raises(error, match=text):
        await all_updates(bare_run(), ATTENTION, cache=cache)
    if "skip" not in behaviour:
        assert not list(cache.entries())


async def test_requests_that_cannot_be_meant_are_refused_at_once(engines: Engines) -> None:
    with pytest.raises(UsageError, match="layers 0 to 3"):
        await all_updates(bare_run(), replace(CAM, layers=(4,)))
    with pytest.raises(UsageError, match="twice"):
        await all_updates(bare_run(), CAM, Request("cam", CamParameters(seed=1)))
    with pytest.raises(UsageError, match="not those of"):
        Request("cam", AttentionParameters())
    assert results(await all_updates(fake_run(), replace(TRUNCATION, layers=(LAYERS,)))) == []


async def test_layers_that_another_process_makes_are_taken_as_they_come(
    engines: Engines, no_engine: Callable[[], None], cache: LayerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines()
    await all_updates(bare_run(), CAM, cache=cache)
    made = {entry.layer: entry.key for entry in cache.entries()}
    data = {layer: cache.get(key) for layer, key in made.items()}
    cache.clear()
    no_engine()
    monkeypatch.setattr(cache, "lock", lambda key, **options: nullcontext(False))  # held elsewhere
    async with aclosing(complete(bare_run(), [CAM], cache=cache)) as updates:
        assert (await anext(updates)).progress == Progress("wait", "cam")
        for layer in (2, 0, 1, 3):
            cache.put(made[layer], data[layer] or b"")
            update = await anext(updates)
            while update.result is None:
                update = await anext(updates)
            assert (update.result.layer, update.cached) == (layer, True)
        assert (await anext(updates)).cached


async def test_runs_that_share_an_engine_take_turns(engines: Engines, tmp_path: Path) -> None:
    engines()
    other = replace(bare_run(), spec=RunSpec("demo", bare_run().spec.images, "Another question?"))
    async with await EngineClient.start() as client:
        await asyncio.gather(
            all_updates(bare_run(), CAM, client=client),
            all_updates(other, CAM, client=client),
        )
        assert client.alive
    layers = [f"cam {layer}" for layer in range(LAYERS)]
    assert counted(tmp_path) == ["start", "load", *["prepare", *layers] * 2]


async def test_a_real_model_through_a_real_engine(
    tiny_directory: Path, tiny_llava: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: LayerCache
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    spec = RunSpec(str(tiny_directory), (png(),), "What color is the circle ?", max_new_tokens=4)
    async with await EngineClient.start() as client:
        run = await create_run(spec, client=client)
        updates = await all_updates(run, *EVERYTHING, client=client, cache=cache)
    run = updates[-1].run
    assert all(not run.missing(name) for name in ("attention", "cam", "truncation"))
    assert Run.from_plain(run.to_plain()).to_plain() == run.to_plain()

    # The same analyses without process, protocol and cache in between. The threads of both add up in the same order;
    # 1e-5 is left for a machine where they do not.
    inputs = prepare(tiny_llava, spec)
    assert (inputs.prepared.tokens.ids == run.tokens.ids).all()
    for request in EVERYTHING:
        made: list[LayerResult] = []
        run_analysis(
            tiny_llava, inputs, request.parameters, None, made.append, lambda layer, fraction: None, lambda: False
        )
        assert len(made) == len(run.analyses[request.analysis].layers)
        for result in made:
            found = run.analyses[request.analysis].layers[result.layer]
            assert found.text == result.text
            for name, array in result.arrays.items():
                np.testing.assert_allclose(found.arrays[name], array, rtol=1e-5, atol=1e-5)

    def refuse(engine: str) -> Target:
        raise AssertionError("an engine was started")

    monkeypatch.setattr(client_module, "find_target", refuse)
    bare = replace(run, analyses={})
    assert (await all_updates(bare, *EVERYTHING, cache=cache))[-1].cached


async def test_a_real_run_is_pinned_to_its_answer(
    tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    spec = RunSpec(str(tiny_directory), (png(),), "What color is the circle ?", answer="a red circle")
    async with await EngineClient.start() as client:
        given = await create_run(spec, client=client)
        # The same run as if the model had said it: its own greedy answer is another one.
        pinned = replace(given, spec=replace(spec, answer=None), answer=replace(given.answer, given=False))
        greedy = await create_run(pinned.spec, client=client)
        assert greedy.answer.ids != pinned.answer.ids
        updates = await all_updates(pinned, CAM, client=client)
        assert updates[-1].run.answer == pinned.answer
        assert updates[-1].run.missing("cam") == ()
        with pytest.raises(ModelError, match="fingerprint"):
            await all_updates(replace(pinned, model=replace(pinned.model, fingerprint="0" * 32)), CAM, client=client)
        with pytest.raises(FlowtuiError):
            await create_run(replace(spec, model=str(tmp_path)), client=client)
        assert client.alive


WORKER = """
import asyncio, sys
from dataclasses import replace
sys.path.insert(0, {root!r})
from pathlib import Path
from flowtui.cache.store import LayerCache
from flowtui.engine import client
from flowtui.engine.transport import Target
from flowtui.engine.workflow import complete
from flowtui.engine.spec import PARAMETERS
from flowtui.engine.workflow import Request
from tests.engine.fake_engine import fake_run

client.find_target = lambda engine: Target({command!r})

async def main():
    with LayerCache.open(Path({folder!r})) as cache:
        print("ready", flush=True)
        sys.stdin.readline()
        async for update in complete(
            replace(fake_run(), analyses={{}}), [Request(name, cls()) for name, cls in PARAMETERS.items()], cache=cache
        ):
            run = update.run
            if update.result:
                print("layer", flush=True)
        print(sum(len(a.layers) for a in run.analyses.values()), flush=True)

asyncio.run(main())
"""


def test_eight_processes_compute_once(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = (sys.executable, str(FAKE), json.dumps({"count": str(tmp_path / "count")}))
    code = WORKER.format(root=root, command=command, folder=str(tmp_path / "cache"))
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)
        for _ in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    everything = len(PARAMETERS) * LAYERS + 1
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert (out.split()[-1:], worker.returncode) == ([str(everything)], 0), err
    layers = [line for line in counted(tmp_path) if " " in line]
    assert len(layers) == len(set(layers)) == everything


async def test_a_waiting_process_takes_over_when_the_computing_one_dies(
    engines: Engines, cache: LayerCache, tmp_path: Path
) -> None:
    root = str(Path(__file__).parents[2])
    command = (sys.executable, str(FAKE), json.dumps({"count": str(tmp_path / "other"), "stall": 2}))
    code = WORKER.format(root=root, command=command, folder=str(tmp_path / "cache"))
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
        assert [worker.stdout.readline() for _ in range(3)] == [b"ready\n", b"layer\n", b"layer\n"]
        engines()
        async with aclosing(complete(bare_run(), [ATTENTION], cache=cache)) as updates:
            seen: list[Update] = []
            async for update in updates:
                seen.append(update)
                if update.progress == Progress("wait", "attention"):
                    worker.kill()
    assert [layer for _, layer, _ in results(seen)] == [0, 1, 2, 3]
    assert [cached for _, _, cached in results(seen)] == [True, True, False, False]


def test_the_spec_of_a_run_file_never_asks_for_remote_code() -> None:
    spec = replace(fake_run().spec, trust_remote_code=True)
    assert spec_to_plain(spec)["trust_remote_code"] is True
    assert Run.from_plain(replace(fake_run(), spec=spec).to_plain()).spec.trust_remote_code is False
