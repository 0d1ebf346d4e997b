"""An engine whose backend needs no torch: run it as a program with its behaviour as JSON in the first argument.

Behaviour (all optional):
    count       file that gets one line per layer computed, and "load", "prepare", "start" lines
    first       {layer: fifo}: read this FIFO to its end before that layer
    stall       layer before which it works on without ever looking whether it was cancelled
    spin        layer before which it waits for a cancel, and heeds it
    kill        layer before which it kills itself with SIGKILL
    raise       [stage, error class of flowtui.errors or builtins, message]; stage: load, prepare or analyse
    lose        [layer, marker]: a CUDA error before that layer, as often as the marker file has room (one byte a time)
    fingerprint, ids_shift, noise (prints on stdout), heads (other shapes than promised), skip (layer left out)
    fit         {weights: bytes, too_big: how many of the analyses do not fit}; without it nothing is told
    seconds     what an analysis is said to take
    stderr      text for stderr at the start
    found       what an examination finds
    exit        exit code to end with at the start
    protocol    protocol version to pretend
    greeting    text written to the real stdout before the first frame
"""

from __future__ import annotations

import builtins
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from flowtui import errors
from flowtui.engine import process, spec
from flowtui.engine.examination import Examination
from flowtui.engine.fit import Fit, Need
from flowtui.engine.results import Answer, LayerResult, ModelInfo, Prepared, Run
from tests.factories import random_run

LAYERS = 4
WORDS = ("a", "red", "circle")


def fake_run(seed: int = 0) -> Run:
    """The run that the fake engine computes, complete."""
    return random_run(layers=LAYERS, heads=2, grid=(3, 3), answer=WORDS, cliff=2, seed=seed)


def expected_layer(analysis: str, layer: int) -> LayerResult:
    """What the fake engine computes for a layer."""
    return fake_run().analyses[analysis].layers[layer]


def heavy_rows(layer: int) -> np.ndarray[Any, Any]:
    """The weights it sends where they are asked for: [T H N]."""
    run = fake_run()
    shape = (len(run.answer.ids), run.model.heads, len(run.tokens.ids))
    return np.full(shape, layer, dtype=np.float32)


@dataclass
class FakeLoaded:
    info: ModelInfo


@dataclass
class FakeInputs:
    prepared: Prepared


class FakeBackend:
    def __init__(self, behaviour: dict[str, Any]) -> None:
        self.behaviour = behaviour

    def note(self, line: str) -> None:
        if "count" in self.behaviour:
            with open(self.behaviour["count"], "a") as file:  # noqa: PTH123
                file.write(line + "\n")

    def maybe_raise(self, stage: str) -> None:
        if self.behaviour.get("raise", [None])[0] == stage:
            _, name, message = self.behaviour["raise"]
            raise (getattr(errors, name, None) or getattr(builtins, name))(message)

    def load(self, name: str, **options: Any) -> FakeLoaded:
        self.note("load")
        if self.behaviour.get("noise"):
            print("a library prints on stdout", flush=True)
            os.write(1, b"and C code on descriptor 1\n")
            assert os.read(0, 1) == b"", "stdin of the process must be empty"
        self.maybe_raise("load")
        info = replace(fake_run().model, name=name, dtype=options["dtype"].replace("auto", "float32"))
        return FakeLoaded(replace(info, fingerprint=self.behaviour.get("fingerprint", info.fingerprint)))

    def fit(self, name: str, options: Any, spec: spec.RunSpec, wanted: Any, held: Any, is_held: bool) -> Fit | None:
        if "fit" not in self.behaviour:
            return None
        self.note("fit")
        needs = tuple(
            Need(_name(p), 1 << 20, 1 << 20, 1 << 18, True, 2.0, n >= 0)
            for n, (p, _) in enumerate(wanted, start=-self.behaviour["fit"].get("too_big", 0))
        )
        return Fit(
            name, "float32", "cpu", self.behaviour["fit"]["weights"], is_held, 1 << 30, 30, 9, 3, 1 << 10, None, needs
        )

    def examine(self) -> Examination:
        return Examination(**{"built_for": "the CPU", "cache_folder": "/cache", **self.behaviour.get("found", {})})

    def seconds(self, loaded: Any, inputs: Any, parameters: Any, layers: Any) -> float | None:
        return self.behaviour.get("seconds")

    def prepare(self, loaded: FakeLoaded, spec: spec.RunSpec, answer: Answer | None) -> FakeInputs:
        self.note("prepare")
        self.maybe_raise("prepare")
        run = fake_run()
        tokens = replace(run.tokens, ids=run.tokens.ids + self.behaviour.get("ids_shift", 0))
        return FakeInputs(Prepared(loaded.info, tokens, answer or run.answer, run.image_sizes))

    def analyse(
        self,
        loaded: FakeLoaded,
        inputs: FakeInputs,
        parameters: spec.Parameters,
        layers: Sequence[int],
        on_layer: Callable[[LayerResult], None],
        on_progress: Callable[[int, float], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.maybe_raise("analyse")
        behaviour = self.behaviour
        name = _name(parameters)
        made = fake_run().analyses[name].layers
        for done, layer in enumerate(layers):
            if fifo := behaviour.get("first", {}).get(str(layer)):
                Path(fifo).read_bytes()
            if behaviour.get("stall") == layer:
                threading.Event().wait()
            if behaviour.get("spin") == layer:
                idle = threading.Event()
                while not cancelled():
                    idle.wait(0.01)
            if behaviour.get("kill") == layer:
                os.kill(os.getpid(), signal.SIGKILL)
            if behaviour.get("lose", [None])[0] == layer:
                marker = Path(behaviour["lose"][1])
                if left := marker.read_bytes():
                    marker.write_bytes(left[1:])
                    raise RuntimeError("CUDA error: device-side assert triggered\nmore lines")
            if cancelled():
                raise errors.CancelledError("Cancelled.")
            if behaviour.get("skip") == layer:
                continue
            self.note(f"{name} {layer}")
            result = made[layer]
            if isinstance(parameters, spec.AttentionParameters) and parameters.weights:
                result = replace(result, arrays={**result.arrays, "weights": heavy_rows(layer)})
            if behaviour.get("heads"):
                result = replace(result, arrays={k: v[..., :1] for k, v in result.arrays.items()})
            on_layer(result)
            on_progress(layer, (done + 1) / len(layers))


def _name(parameters: Any) -> str:
    return next(name for name, kind in spec.PARAMETERS.items() if type(parameters) is kind)


def main() -> None:
    behaviour = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    backend = FakeBackend(behaviour)
    backend.note("start")
    if "stderr" in behaviour:
        print(behaviour["stderr"], file=sys.stderr, flush=True)
    if "exit" in behaviour:
        sys.exit(behaviour["exit"])
    if "greeting" in behaviour:
        os.write(1, behaviour["greeting"].encode())
    if "protocol" in behaviour:
        process.PROTOCOL = behaviour["protocol"]  # type: ignore[misc]
    process.serve(backend)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
