"""Nothing makes the event loop wait: not a terminal that takes nothing, and not a computation."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from flowtui.cache.runfile import write_plain
from tests.e2e.terminal import Open, Terminal
from tests.factories import random_run

WATCHED = Path(__file__).with_name("watched.py")
BOUND_S = 1.5
"""A frame takes a hundredth of this; a loop that waits for the line in the first test waits for twice as long."""


def watched(terminal: Open, folder: Path, **settings: Any) -> tuple[Terminal, Path]:
    write_plain(folder / "run.pkl", random_run(layers=32, **settings).to_plain())
    out = folder / "out.json"
    screen = terminal(sys.executable, WATCHED, folder / "run.pkl", out, columns=120, lines=40)
    screen.wait_for(lambda text: "q quit" in text)
    return screen, out


def found_by(screen: Terminal, out: Path) -> dict[str, Any]:
    screen.send("q")
    assert screen.wait_for_end() == 0
    found: dict[str, Any] = json.loads(out.read_text())
    # Whatever was drawn went through the one thread that may wait for the line.
    assert found["writers"] == ["flowtui-output"]
    return found


def test_a_terminal_that_takes_nothing(terminal: Open, tmp_path: Path) -> None:
    screen, out = watched(terminal, tmp_path)
    for _ in range(90):
        screen.send("l")
        screen.send("h")
        time.sleep(1 / 30)
    # Nothing was read for three seconds; the newest state is drawn as soon as it can be.
    screen.send("G")
    screen.wait_for(lambda text: "layer 31/31" in text)
    found = found_by(screen, out)
    assert found["longest_s"] < BOUND_S
    # Two or three frames fill a terminal that is not read; the other hundred were never drawn.
    assert found["drawn"] < 45


def test_a_computation_that_hands_out_layers_quickly(terminal: Open, tmp_path: Path) -> None:
    screen, out = watched(terminal, tmp_path, analyses=("attention",))
    screen.send("r")
    screen.wait_for(lambda text: "Esc cancels" in text)
    screen.wait_for(lambda text: "Esc cancels" not in text and "q quit" in text)
    found = found_by(screen, out)
    assert found["arrived"] > 200
    assert found["longest_s"] < BOUND_S
