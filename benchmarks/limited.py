"""What still runs when memory is short: each side in a process that may take so much beyond the loaded model.

As under `ulimit -v`, but counted from where the model is loaded. Run: python -m benchmarks.limited [--mib 1024].
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.memory import ENVIRONMENT, ROOT, find_side, status_bytes
from benchmarks.ours import analysis
from benchmarks.scene import Scene, Size, build_scene
from flowtui.engine.failures import is_out_of_memory
from flowtui.engine.spec import ANALYSES
from flowtui.errors import OutOfMemoryError

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Of further arenas 64 MiB each are reserved, which such a limit counts although nothing lies there."""

SIDES = (
    "plain.lean_forward",
    *(analysis for analysis in ANALYSES if analysis != "faithfulness"),
    # All its curves would take long.
    "ours.short_faithfulness",
    "plain.output_attentions",
    "plain.retain_grad",
)

RAN, SHORT = "ran", "out of memory"


def outcome(scene: Scene, side: str, extra_bytes: int) -> str:
    """Runs a side in a process of its own.

    Args:
        scene: The model directory and the prompt.
        side: "module.function" in `benchmarks`, or an analysis by its name.
        extra_bytes: Address space that it may take on top of the loaded model.

    Returns:
        "" where it ran; else why it did not.
    """
    command = [sys.executable, "-m", "benchmarks.limited", "--child", side, json.dumps(scene.plain_data())]
    done = subprocess.run(
        [*command, str(extra_bytes)],
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT, **ONE_ARENA},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr[-300:]}"
    return done.stdout.strip().splitlines()[-1].removeprefix(RAN)


def child(side: str, described: str, extra_bytes: int) -> str:
    """Loads, limits itself, runs."""
    plain = json.loads(described)
    scene = Scene(Path(plain["folder"]), Size(**plain["size"]), plain["device"])
    work = analysis(scene, side) if side in ANALYSES else find_side(side)(scene)
    # Threads are started before the limit, their stacks are no part of what is asked.
    torch.ones(1024, 1024) @ torch.ones(1024, 1024)
    most = status_bytes("VmSize") + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        work()
    except (MemoryError, RuntimeError, OutOfMemoryError) as error:
        if not isinstance(error, OutOfMemoryError) and not is_out_of_memory(error):
            raise
        return f"{SHORT}: {str(error).splitlines()[0][:100]}"
    return RAN


def main() -> None:
    """Prints one line per side."""
    if sys.argv[1:2] == ["--child"]:
        print(child(sys.argv[2], sys.argv[3], int(sys.argv[4])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="memory beyond the loaded model")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--grid", type=int, default=51, help="rows and columns of image tokens; 51 makes 2,601")
    options = parser.parse_args()
    with build_scene(Size(layers=options.layers, grid=options.grid)) as scene:
        print(f"{options.layers} layers, {scene.inputs.length} tokens, {options.mib} MiB beyond the loaded model")
        for side in SIDES:
            print(f"{side:28} {outcome(scene, side, options.mib << 20) or 'runs'}", flush=True)


if __name__ == "__main__":
    main()
