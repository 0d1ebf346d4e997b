"""What the engine's benchmarks share: one model, one prompt, two sides timed in turn, printed as ratios."""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flowtui.engine.demo.model import build_model, save
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.spec import RunSpec


def parse(description: str) -> argparse.Namespace:
    """Options of every engine benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", default=None, help="model directory or id (default: the demo's architecture)")
    parser.add_argument("--layers", type=int, default=12, help="decoder layers of the demo's architecture")
    parser.add_argument("--answer", default="a red circle", help="answer to analyse")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds; the median counts")
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


def prepare_sides(options: argparse.Namespace) -> tuple[Loaded, Inputs]:
    """The model and one prepared prompt, the same for both sides."""
    blocks = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    picture = io.BytesIO()
    Image.fromarray(blocks).resize((96, 96), Image.Resampling.NEAREST).save(picture, "PNG")
    spec = RunSpec("bench", (picture.getvalue(),), "What color is the circle ?", answer=options.answer)
    if options.model is not None:
        loaded = load_model(options.model, device=options.device)
        return loaded, prepare(loaded, spec)
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save(build_model(options.layers), Path(folder))
        loaded = load_model(folder, device=options.device)
    return loaded, prepare(loaded, spec)


def time_sides(loaded: Loaded, sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each side. The sides take turns, so that a slow moment of the machine hits all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if loaded.device.type == "cuda":
                torch.cuda.synchronize(loaded.device)
            if turn:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_ratios(loaded: Loaded, inputs: Inputs, medians: Mapping[str, float], one: str, forward: str) -> None:
    """One line per side: time, in forward passes, and how many times `one` it takes."""
    print(
        f"{loaded.info.family}, {loaded.info.layers} layers, d_model {loaded.info.d_model}, {inputs.length} tokens "
        f"({len(inputs.image_positions)} image), {loaded.info.dtype} on {loaded.info.device}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    for name, seconds in medians.items():
        in_passes, ratio = seconds / medians[forward], seconds / medians[one]
        print(f"{name:45} {1000 * seconds:9.1f} ms  {in_passes:7.2f} x {forward}  {ratio:7.2f} x {one}")
