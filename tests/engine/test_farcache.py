"""The far engine's cache: asked first, filled before anything is sent, never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowtui.cache.store import LayerCache
from flowtui.engine.farcache import CachingBackend
from flowtui.engine.layername import WHOLE, WHOLE_FAR, layer_name
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import CamParameters, parameters_to_plain
from flowtui.errors import CancelledError
from tests.engine.fake_engine import LAYERS, FakeBackend, fake_run

RUN = fake_run()
PARAMETERS = CamParameters()


def name(layer: int) -> str:
    model = replace(RUN.model, name="demo", dtype="float32")
    return layer_name(RUN.spec, model, RUN.tokens, RUN.answer, "cam", parameters_to_plain(PARAMETERS), layer)


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOWTUI_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "count"


@pytest.fixture
def store(count: Path, tmp_path: Path) -> Iterator[LayerCache]:
    with LayerCache.open(tmp_path / "cache" / "layers") as opened:
        yield opened


def analyse(count: Path, *, cancelled: Any = lambda: False, on_layer: Any = None, **behaviour: Any) -> list[int]:
    """What a new engine sends, when it is asked for every layer."""
    backend = CachingBackend(FakeBackend({"count": str(count), **behaviour}))
    loaded = backend.load("demo", revision=None, dtype="auto", device="cpu", trust_remote_code=False)
    inputs = backend.prepare(loaded, RUN.spec, RUN.answer)
    sent: list[LayerResult] = []
    take = on_layer or sent.append
    backend.analyse(loaded, inputs, PARAMETERS, range(LAYERS), take, lambda *_: None, cancelled)
    for result in sent:
        assert result.to_bytes() == RUN.analyses["cam"].layers[result.layer].to_bytes()
    return [result.layer for result in sent]


def computed(count: Path) -> list[str]:
    return [line for line in count.read_text().splitlines() if line.startswith("cam")]


def test_what_is_there_is_sent_and_the_rest_is_computed(count: Path, store: LayerCache) -> None:
    store.put(name(2), RUN.analyses["cam"].layers[2].to_bytes())
    assert analyse(count) == [2, 0, 1, 3]
    assert computed(count) == ["cam 0", "cam 1", "cam 3"]
    assert analyse(count) == list(range(LAYERS))
    assert len(computed(count)) == 3


def test_a_layer_is_kept_although_it_cannot_be_sent(count: Path, store: LayerCache) -> None:
    def broken(result: LayerResult) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        analyse(count, on_layer=broken)
    assert store.get(name(0)) is not None


@pytest.mark.parametrize("wrong", [b"", b"nonsense", RUN.analyses["cam"].layers[1].to_bytes()])
def test_an_entry_that_is_another_thing_is_computed_again(count: Path, store: LayerCache, wrong: bytes) -> None:
    store.put(name(0), wrong)
    assert analyse(count) == list(range(LAYERS))
    assert "cam 0" in computed(count)


def test_while_another_far_engine_computes_it_waits_and_can_be_cancelled(count: Path, store: LayerCache) -> None:
    with store.lock(name(WHOLE_FAR)), pytest.raises(CancelledError):
        analyse(count, cancelled=lambda: True)
    assert not computed(count)


def test_a_client_that_holds_its_own_lock_of_the_same_cache_is_no_reason_to_wait(
    count: Path, store: LayerCache
) -> None:
    with store.lock(name(WHOLE)) as mine:
        assert mine
        assert analyse(count) == list(range(LAYERS))


def test_without_a_cache_everything_is_computed(count: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLOWTUI_CACHE_DIR", str(tmp_path / "file"))
    assert analyse(count) == list(range(LAYERS))
