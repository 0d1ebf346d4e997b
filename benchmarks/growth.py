"""How time and memory grow with layers and tokens; draws docs/growth.svg. Run: python -m benchmarks.growth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import ours, plain
from benchmarks.memory import ROOT, peak_bytes
from benchmarks.scene import Scene, Size, build_scene
from benchmarks.timing import Work, time_sides, use_cpu_clock

LAYERS = (8, 16, 32)
GRIDS = (10, 16, 24, 36, 51)
"""With some 64 tokens of text: 164, 320, 640, 1,360 and 2,665 tokens."""

SIDES: dict[str, Callable[[Scene], Work]] = {
    "attention": ours.attention,
    "CAM": ours.cam,
    "saliency": ours.saliency,
    "truncation": ours.truncation,
    "logit lens": ours.lens,
    "knockout": ours.knockout,
    "matrix": ours.matrix,
}
STORED = {"eager retain_grad": plain.retain_grad, "eager output_attentions": plain.output_attentions}
"""The other way, for its memory; it keeps a matrix per layer and head, so long prompts are left out."""

MOST_STORED_BYTES = 1 << 30

LEAST_MIB = 1.0

Point = dict[str, Any]
"""layers, tokens, side, forwards (time in lean forward passes) or None, over_bytes (peak over the forward pass)."""


def main() -> None:
    """Measures, writes the points beside the picture, draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "growth.svg")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, CPU time: for a machine that is not quiet")
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS)
    parser.add_argument("--grids", type=int, nargs="+", default=GRIDS)
    parser.add_argument("--draw-only", action="store_true", help="draw what was measured before")
    options = parser.parse_args()
    if options.cpu_time:
        use_cpu_clock()
    kept = options.output.with_suffix(".json")
    if not options.draw_only:
        points: list[Point] = []
        for size in sizes(options.layers, options.grids):
            with build_scene(size, options.device) as scene:
                for point in measure(scene, options.rounds):
                    print(point, flush=True)
                    points.append(point)
        kept.write_text("[\n" + ",\n".join(json.dumps(point) for point in points) + "\n]\n")
    draw(json.loads(kept.read_text()), options.output)


def sizes(layers: Sequence[int], grids: Sequence[int]) -> list[Size]:
    """All depths at the middle length, all lengths at the middle depth."""
    deep = [Size(layers=count, grid=grids[len(grids) // 2]) for count in layers]
    long = [Size(layers=layers[len(layers) // 2], grid=grid) for grid in grids]
    return list(dict.fromkeys([*deep, *long]))


def measure(scene: Scene, rounds: int) -> Iterator[Point]:
    """One point per analysis, and one per way of storing everything."""
    works = {"forward": plain.lean_forward(scene)} | {name: side(scene) for name, side in SIDES.items()}
    took = time_sides(works, rounds, scene.device)
    at = {"layers": scene.size.layers, "tokens": scene.inputs.length}
    forward_bytes = peak_bytes(scene, "plain.lean_forward")
    yield {**at, "side": "forward", "forwards": 1.0, "seconds": took["forward"].seconds, "over_bytes": 0}
    for name, side in SIDES.items():
        over = peak_bytes(scene, f"ours.{side.__name__}") - forward_bytes
        forwards = took[name].seconds / took["forward"].seconds
        yield {**at, "side": name, "forwards": forwards, "over_bytes": over}
    for name, stored in STORED.items():
        if 4 * scene.size.layers * scene.size.heads * scene.inputs.length**2 <= MOST_STORED_BYTES:
            over = peak_bytes(scene, f"plain.{stored.__name__}") - forward_bytes
            yield {**at, "side": name, "forwards": None, "over_bytes": over}


def draw(points: Sequence[Point], output: Path) -> None:
    """Two rows (time, memory) by two columns (layers, tokens)."""
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "flowtui"
    import matplotlib.pyplot as plt

    depth, length = middle(points, "tokens"), middle(points, "layers")
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), sharex="col", constrained_layout=True)
    colours = {"forward": "0.5"} | {side: f"C{i}" for i, side in enumerate(SIDES)} | dict.fromkeys(STORED, "black")
    marks = dict(zip(STORED, "^s", strict=True))
    for column, (along, fixed, value) in enumerate((("layers", "tokens", depth), ("tokens", "layers", length))):
        some = [point for point in points if point[fixed] == value]
        for side in dict.fromkeys(point["side"] for point in some):
            line = sorted((point for point in some if point["side"] == side), key=lambda point: point[along])
            x = [point[along] for point in line]
            look = {"marker": marks.get(side, "o"), "linestyle": "--" if side in STORED else "-"}
            look |= {"label": side, "color": colours[side]}
            if side not in STORED:
                axes[0, column].plot(x, [point["forwards"] for point in line], **look)
            if side != "forward":
                # A peak below the forward pass's own is none beyond it.
                over = [max(point["over_bytes"] / 2**20, LEAST_MIB) for point in line]
                axes[1, column].plot(x, over, **look)
        axes[1, column].set_xlabel(f"{along} ({value} {fixed})")
        axes[1, column].set_xscale("log", base=2)
        axes[1, column].set_xticks(sorted({point[along] for point in some}))
        axes[1, column].xaxis.set_major_formatter("{x:.0f}")
        axes[1, column].set_yscale("log")
        axes[0, column].set_ylim(bottom=0)
        for row in (0, 1):
            axes[row, column].grid(alpha=0.3)
    axes[0, 0].set_ylabel("time, in forward passes")
    axes[1, 0].set_ylabel("peak memory over the forward pass, MiB")
    # One for all, beside the axes: inside it would lie on lines.
    named = {line.get_label(): line for row in (0, 1) for line in axes[row, 0].get_lines()}
    figure.legend(named.values(), named.keys(), loc="outside upper center", ncols=5, fontsize="small")
    # Without a date the same numbers give the same file.
    figure.savefig(output, metadata={"Date": None} if output.suffix == ".svg" else None)


def middle(points: Sequence[Point], what: str) -> int:
    """The size that most points share: all others are along it."""
    found = [int(point[what]) for point in points]
    return max(set(found), key=found.count)


if __name__ == "__main__":
    main()
