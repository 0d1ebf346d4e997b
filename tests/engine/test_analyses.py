from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from flowtui.engine import attention
from flowtui.engine.analyses import describe_shortage, run_analysis
from flowtui.engine.budget import CHUNK_BYTES, SHRINK, rows_per_chunk
from flowtui.engine.inputs import Inputs
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import LayerResult
from flowtui.engine.spec import AttentionParameters, CamParameters, Parameters, TruncationParameters
from flowtui.errors import CancelledError, OutOfMemoryError, UsageError

CPU = torch.device("cpu")


def _run(
    loaded: Loaded,
    inputs: Inputs,
    layers: list[int] | None = None,
    *,
    parameters: Parameters | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[list[LayerResult], list[tuple[int, float]]]:
    results: list[LayerResult] = []
    progress: list[tuple[int, float]] = []
    run_analysis(
        loaded,
        inputs,
        parameters or AttentionParameters(),
        layers,
        results.append,
        lambda layer, fraction: progress.append((layer, fraction)),
        cancelled,
    )
    return results, progress


def test_all_layers_with_progress(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    results, progress = _run(tiny_llava, tiny_inputs)
    assert [r.layer for r in results] == [0, 1, 2, 3]
    assert progress == [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0)]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [(AttentionParameters(), range(4)), (CamParameters(), range(4)), (TruncationParameters(), range(5))],
)
def test_every_analysis_gives_every_layer(
    tiny_llava: Loaded, tiny_inputs: Inputs, parameters: Parameters, expected: range
) -> None:
    results, progress = _run(tiny_llava, tiny_inputs, parameters=parameters)
    assert sorted(r.layer for r in results) == list(expected)
    fractions = [fraction for _, fraction in progress]
    assert all(0 <= f <= 1 for f in fractions)
    assert fractions == sorted(fractions)


@pytest.mark.parametrize("layers", [[-1], [4], [0, 9]])
def test_layers_that_do_not_exist(tiny_llava: Loaded, tiny_inputs: Inputs, layers: list[int]) -> None:
    with pytest.raises(UsageError, match="layers 0 to 3"):
        _run(tiny_llava, tiny_inputs, layers)


def test_truncation_has_one_more(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    results, _ = _run(tiny_llava, tiny_inputs, [4], parameters=TruncationParameters())
    assert [r.layer for r in results] == [4]
    with pytest.raises(UsageError, match="layers 0 to 4"):
        _run(tiny_llava, tiny_inputs, [5], parameters=TruncationParameters())


def test_cancelled_before_the_start(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    with pytest.raises(CancelledError):
        _run(tiny_llava, tiny_inputs, cancelled=lambda: True)


def test_cancelled_between_layers(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    asked: list[None] = []

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) == 3  # before the start, after layer 0, after layer 1

    results: list[LayerResult] = []
    with pytest.raises(CancelledError):
        run_analysis(
            tiny_llava, tiny_inputs, AttentionParameters(), None, results.append, lambda _l, _f: None, cancelled
        )
    assert [r.layer for r in results] == [0, 1]


class _Failing:
    """Fails with an error at layer 2 as often as told, each time with a large object in its frame."""

    def __init__(self, times: int, error: Callable[[], Exception]) -> None:
        self.times, self.error, self.real = times, error, attention.run
        self.calls: list[tuple[list[int], int]] = []
        self.held: list[weakref.ref[Any]] = []
        self.alive: list[int] = []

    def __call__(self, loaded: Any, inputs: Any, parameters: Any, layers: Any, on_layer: Any, check: Any) -> None:
        gc.disable()
        self.alive.append(sum(ref() is not None for ref in self.held))
        gc.enable()
        self.calls.append((list(layers), rows_per_chunk(1)))
        large = torch.zeros(1)
        self.held.append(weakref.ref(large))
        cycle: list[Any] = [large]
        cycle.append(cycle)  # leaving the frame is not enough to free it

        def deliver(result: LayerResult) -> None:
            if result.layer == 2 and len(self.calls) <= self.times:
                raise self.error()
            on_layer(result)

        self.real(loaded, inputs, parameters, layers, deliver, check)
        del large


def _cuda() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 8 GiB")


def _cpu() -> Exception:
    return RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")


@pytest.mark.parametrize("error", [_cuda, _cpu, MemoryError])
def test_out_of_memory_once_is_survived(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception]
) -> None:
    expected = _run(tiny_llava, tiny_inputs)[0]
    failing = _Failing(1, error)
    monkeypatch.setattr(attention, "run", failing)
    results, _ = _run(tiny_llava, tiny_inputs)
    # The second time only for what is missing, in smaller chunks, with nothing of the first time still alive.
    assert failing.calls == [([0, 1, 2, 3], CHUNK_BYTES), ([2, 3], CHUNK_BYTES // SHRINK)]
    assert failing.alive == [0, 0]
    assert [r.layer for r in results] == [0, 1, 2, 3]
    for got, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(got.arrays["share"], wanted.arrays["share"], rtol=0, atol=1e-6)
    assert rows_per_chunk(1) == CHUNK_BYTES
    assert tiny_llava.decoder.config._attn_implementation == "sdpa"


def test_out_of_memory_twice_says_needed_and_free(
    tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "run", _Failing(2, _cuda))
    with pytest.raises(OutOfMemoryError, match=r"needs 1,610,612,736 bytes more, [\d,]+ bytes are free") as caught:
        _run(tiny_llava, tiny_inputs)
    assert caught.value.hint
    assert caught.value.__cause__ is None


def test_other_errors_pass_untouched(tiny_llava: Loaded, tiny_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = _Failing(9, lambda: RuntimeError("shapes differ"))
    monkeypatch.setattr(attention, "run", failing)
    with pytest.raises(RuntimeError, match="shapes differ"):
        _run(tiny_llava, tiny_inputs)
    assert len(failing.calls) == 1


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("CUDA out of memory. Tried to allocate 20.00 MiB.", "20,971,520 bytes more"),
        (
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error code 12",
            "4,096 bytes more",
        ),
        ("", "more memory than there is"),
    ],
)
def test_the_bytes_that_were_needed(text: str, needed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class _Memory:
        available = 12345

    monkeypatch.setattr("psutil.virtual_memory", _Memory)
    assert (
        describe_shortage(text, CPU)
        == f"The device cpu is out of memory: the analysis needs {needed}, 12,345 bytes are free."
    )
