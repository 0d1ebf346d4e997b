"""Measures everything and prints a table, or a list of rows as JSON. Run: python benchmarks/run.py [--json]."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

# As a script this folder would be on the path, under whose names other packages could find the wrong module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402

from benchmarks.row import HEADER, Row, line, missed  # noqa: E402
from benchmarks.scene import Scene, Size, build_scene  # noqa: E402
from benchmarks.timing import use_cpu_clock  # noqa: E402

SUBJECTS = ("truncation", "cam", "saliency", "others", "attention")
"""Attention is last: nnsight changes torch's `backward` when it is imported."""
SCREENS = ("startup", "explorer")
"""What starts the installed command."""


def main() -> None:
    """Prints the rows as they are measured. A goal that is missed is no error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of rows on stdout, nothing else")
    parser.add_argument("--only", action="append", choices=[*SUBJECTS, *SCREENS], help="one subject (repeatable)")
    parser.add_argument("--layers", type=int, default=Size().layers)
    parser.add_argument("--grid", type=int, default=Size().grid, help="rows and columns of image tokens")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds; the median counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, CPU time: for a machine that is not quiet")
    options = parser.parse_args()
    if options.cpu_time:
        use_cpu_clock()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    began = time.monotonic()
    rows: list[Row] = []
    for found in measure(options):
        if isinstance(found, Row):
            rows.append(found)
        if not options.json:
            print(line(found) if isinstance(found, Row) else found, flush=True)
    if options.json:
        print(json.dumps([row.plain() for row in rows], indent=1))
    else:
        goals = sum(row.goal is not None for row in rows)
        print(f"{len(missed(rows))} of {goals} goals missed; {time.monotonic() - began:.0f} s in all")


def measure(options: argparse.Namespace) -> Iterator[Row | str]:
    """Yields rows, and the lines that head them."""
    wanted = options.only or [*SUBJECTS, *SCREENS]
    engine = [subject for subject in SUBJECTS if subject in wanted]
    yield HEADER
    if engine:
        with build_scene(Size(layers=options.layers, grid=options.grid), options.device) as scene:
            yield describe(scene)
            for subject in engine:
                yield from import_module(f"benchmarks.{subject}").rows(scene, options.rounds)
    for screen in SCREENS:
        if screen in wanted:
            yield from import_module(f"benchmarks.{screen}").rows()


def describe(scene: Scene) -> str:
    """What is measured, and on what."""
    info, inputs = scene.loaded.info, scene.inputs
    return (
        f"{info.family}, {info.layers} layers, d_model {info.d_model}, {inputs.length} tokens "
        f"({len(inputs.image_positions)} image, {len(inputs.answer_ids)} answer), {info.dtype} on {info.device}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
