"""Absolute times and peak memory of every analysis on models of 7 billion parameters; writes docs/gpu.md.

Run: python -m benchmarks.gpu. Weights are random: what an analysis costs does not depend on them, but for the text that
greedy decoding gives at each K, which here differs at every K. `--smoke` does the same with tiny models, also on a CPU.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.memory import ROOT, Peak
from benchmarks.scene import ANSWER, QUESTION, SYSTEM, picture
from benchmarks.seven import SHAPES, Shape
from benchmarks.timing import SLOW_S, Work, wait
from flowtui.engine.analyses import run_analysis
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model, silence
from flowtui.engine.spec import ANALYSES, PARAMETERS, RunSpec
from flowtui.errors import FlowtuiError

ROUNDS = 3
TOKENS = 7


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "gpu.md")
    parser.add_argument("--smoke", action="store_true", help="tiny models")
    options = parser.parse_args()
    if options.smoke and options.output == parser.get_default("output"):
        options.output = Path(tempfile.gettempdir()) / "gpu.md"
    silence()
    parts = [heading(options.device)]
    for make in SHAPES:
        for part in tables(make(tiny=options.smoke), options.device):
            print(part, flush=True)
            parts.append(part)
            # What is there so far, should a later model not fit.
            options.output.write_text("\n\n".join(parts) + "\n")
    print(f"written to {options.output}")


def heading(device: str) -> str:
    """What was measured, and where."""
    where = torch.cuda.get_device_name(device) if device.startswith("cuda") else "the CPU"
    return (
        "# On a GPU\n\n"
        f"Random weights in the shapes of LLaVA-1.5-7B and Qwen2.5-VL-7B, bfloat16, on {where}; torch "
        f"{torch.__version__}. All layers, default parameters. Seconds: median of {ROUNDS} runs after one that warms "
        f"up, or one run where it takes more than {SLOW_S:.0f} s. Memory: peak of the allocator over the loaded model. "
        "Written by `python -m benchmarks.gpu`."
    )


def tables(shape: Shape, device: str) -> Iterator[str]:
    """One table per prompt."""
    with tempfile.TemporaryDirectory(prefix="flowtui-gpu-") as folder:
        shape.save(Path(folder), torch.bfloat16, device)
        loaded = load_model(folder, dtype="bfloat16", device=device)
        for name, (count, side_px) in shape.prompts.items():
            images = tuple(picture(side_px, seed) for seed in range(count))
            spec = RunSpec(folder, images, QUESTION, system=SYSTEM, answer=ANSWER, max_new_tokens=TOKENS)
            yield table(f"{shape.name}, {name}", loaded, prepare(loaded, spec), device)


def table(title: str, loaded: Loaded, inputs: Inputs, device: str) -> str:
    """The forward pass and every analysis on one prompt."""
    lines = [
        f"## {title}: {inputs.length} tokens, {len(inputs.image_positions)} of them the image's\n",
        "| | s | forward passes | peak MiB |",
        "|---|---:|---:|---:|",
    ]
    forward, size = cost(one_pass(loaded, inputs), device)
    lines.append(line("one forward pass", forward, size, forward))
    for analysis in ANALYSES:
        try:
            lines.append(line(analysis, *cost(one_analysis(loaded, inputs, analysis), device), forward))
        except FlowtuiError as error:
            lines.append(f"| {analysis} | {error} | | |")
    return "\n".join(lines)


def one_pass(loaded: Loaded, inputs: Inputs) -> Work:
    """A forward call that computes the answer's logits alone."""

    @torch.no_grad()
    def work() -> None:
        loaded.model(**inputs.model_inputs, use_cache=False, logits_to_keep=inputs.answer_rows)

    return work


def one_analysis(loaded: Loaded, inputs: Inputs, name: str) -> Work:
    """An analysis with its default parameters."""

    def work() -> None:
        run_analysis(loaded, inputs, PARAMETERS[name](), None, lambda r: None, lambda k, f: None, lambda: False)

    return work


def cost(work: Work, device: str) -> tuple[float, int]:
    """Median seconds and peak bytes; what takes longer than `SLOW_S` is run once, the rest warms up first."""
    seconds: list[float] = []
    peak = Peak(device)
    while len(seconds) <= ROUNDS and not (seconds and seconds[0] > SLOW_S):
        with peak:
            start = time.perf_counter()
            work()
            wait(device)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:] or seconds), peak.size


def line(name: str, seconds: float, size: int, forward: float) -> str:
    """One row of a table."""
    return f"| {name} | {seconds:.3f} | {seconds / forward:.1f} | {size / 2**20:,.0f} |"


if __name__ == "__main__":
    main()
