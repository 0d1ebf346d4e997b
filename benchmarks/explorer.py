"""The installed explorer in a real pseudo-terminal: how soon it is there and answers, and how much it sends."""

from __future__ import annotations

import io
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.pty_line import Speed, Watched, user_env
from benchmarks.row import Row
from flowtui.cache.runfile import write_plain
from flowtui.engine.results import Run
from flowtui.tui.explorer.look import VIEWS
from tests.factories import random_run

COMMAND = str(Path(sys.executable).with_name("flowtui"))
ONE_LINE = str(Path(__file__).with_name("one_line.py"))
LINE = 1_000_000
"""Bytes a second of the slow line."""
KEYS_PER_S = 30
KITTY = re.compile(rb"\x1b_G.*?\x1b\\", re.DOTALL)
QUIET_S = 0.08
"""A step has been drawn when nothing came for this long."""


@dataclass(frozen=True, slots=True)
class Case:
    """A run to explore.

    Attributes:
        name: As the rows have it.
        layers: Decoder layers.
        grid: Rows and columns of image tokens.
        steps: Timed steps per view.
    """

    name: str
    layers: int
    grid: int
    steps: int


CASES = (
    Case("32 layers, 24x24", 32, 24, 60),
    Case("80 layers, 24x24", 80, 24, 40),
    Case("96 layers, 4,000 tokens", 96, 63, 40),
)


def photo(side_px: int = 336) -> bytes:
    """A PNG with the spectrum of a photo: detail at every scale, hardly two neighbours alike."""
    rng = np.random.default_rng(1)
    fy, fx = np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None]
    fall = 1 / np.maximum(np.hypot(fy, fx), 1 / side_px)
    channels = []
    for _ in range(3):
        noise = np.fft.irfft2(fall * np.exp(2j * np.pi * rng.random(fall.shape)), s=(side_px, side_px))
        low, high = np.percentile(noise, (1, 99))
        channels.append(np.clip((noise - low) / (high - low), 0, 1))
    buffer = io.BytesIO()
    Image.fromarray((np.stack(channels, -1) * 255).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def make_run(case: Case) -> Run:
    """A made-up run with every analysis and a photo."""
    run = random_run(layers=case.layers, heads=32, grid=(case.grid, case.grid), cliff=case.layers // 2)
    return replace(run, spec=replace(run.spec, images=(photo(),)))


def rows(quick: bool = False) -> Iterator[Row]:
    """Start, steps in each view, the slow line and bytes, for each run."""
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES[:1] if quick else CASES:
            path = Path(folder) / f"{case.layers}.pkl"
            write_plain(path, make_run(case).to_plain())
            yield from start_rows(case, path)
            yield from step_rows(case, path)
            yield from line_rows(case, path)
            yield from byte_rows(case, path)
            yield from kitty_rows(case, path)


def start_rows(case: Case, path: Path, repeats: int = 5) -> Iterator[Row]:
    """From exec to the last byte of the first complete screen; in turn with the least that Textual can show."""
    ours, least = [], []
    for turn in range(repeats + 1):
        for found, command in ((ours, explore(path)), (least, [sys.executable, ONE_LINE])):
            with watched(command, path) as program:
                program.settle(0.5, since=0)
                assert "quit" in program.text, program.text
                used = program.cpu_s
                if turn:
                    found.append((program.complete_at() - program.began, used))
    (seconds, cpu), (least_s, least_cpu) = (np.median(found, axis=0).tolist() for found in (ours, least))
    yield Row(f"explorer: first full screen, {case.name}", seconds, "s", "<= 0.5")
    yield Row(f"explorer: CPU until at rest, {case.name}", cpu, "s CPU")
    yield Row(f"explorer: first screen of one line in Textual, beside {case.name}", least_s, "s")
    yield Row(f"explorer: CPU of one line in Textual, beside {case.name}", least_cpu, "s CPU")


def step_rows(case: Case, path: Path) -> Iterator[Row]:
    """From a key to the last byte of the screen that answers it, at 120x40, in every view."""
    with opened(path) as explorer:
        explorer.settle(0.5, since=0)
        for number, view in enumerate(VIEWS, 1):
            explorer.send(f"{number}g".encode())
            explorer.settle(0.5)
            began = explorer.cpu_s
            found = [step(explorer, key) for key in there_and_back(case)]
            cpu_ms = 1000 * (explorer.cpu_s - began) / len(found)
            ms = [1000 * seconds for seconds, _ in found]
            kib = statistics.median(count for _, count in found) / 1024
            where = f"{view}, {case.name}"
            yield Row(f"explorer: key to last byte, median, {where}", statistics.median(ms), "ms", "<= 20")
            yield Row(f"explorer: key to last byte, p95, {where}", float(np.percentile(ms, 95)), "ms", "<= 50")
            yield Row(f"explorer: CPU per step, mean, {where}", cpu_ms, "ms CPU")
            yield Row(f"explorer: bytes per step, {where}", kib, "KiB")


def line_rows(case: Case, path: Path) -> Iterator[Row]:
    """A held key over a slow line, that makes the program wait and that does not: lag after the last key."""
    for name, buffered in (("serial", False), ("as ssh", True)):
        for size in ((120, 40), (120, 42)):
            with opened(path, Speed(LINE, buffered), size) as explorer:
                explorer.settle(0.5, since=0)
                last = 0.0
                for _ in range(case.layers - 1):
                    last = explorer.send(b"l")
                    explorer.watch(1 / KEYS_PER_S)
                explorer.settle(0.4)
                assert f"layer {case.layers - 1}/{case.layers - 1}" in explorer.text, explorer.text
                lag = 1000 * (explorer.complete_at() - last)
            where = f"1 MB/s {name}, {size[0]}x{size[1]}, {case.name}"
            yield Row(f"explorer: lag of a held key, {where}", lag, "ms", "<= 150")


def byte_rows(case: Case, path: Path) -> Iterator[Row]:
    """Bytes of one layer step with a map of 60x30 cells."""
    with opened(path, size=(120, 42)) as explorer:
        explorer.settle(0.5, since=0)
        found = [step(explorer, key)[1] / 1024 for key in there_and_back(case)]
    where = f"60x30 cells, {case.name}"
    yield Row(f"explorer: bytes per step, half blocks, {where}", statistics.median(found), "KiB", "<= 70")


def kitty_rows(case: Case, path: Path) -> Iterator[Row]:
    """Bytes of one layer step in a terminal with kitty's graphics: the photo is there already, only heat is sent."""
    with opened(path, size=(120, 42), graphics="kitty") as explorer:
        explorer.settle(1, since=0)
        overlays, all_of_it = [], []
        for key in there_and_back(case)[: case.steps // 2]:
            before = explorer.settle(0)
            explorer.send(key)
            explorer.settle(0.5, since=before)
            sent = b"".join(chunk.data for chunk in explorer.chunks[before:])
            overlays.append(sum(map(len, KITTY.findall(sent))) / 1024)
            all_of_it.append(len(sent) / 1024)
        assert min(overlays) > 0, "no overlay was sent"
    where = f"60x30 cells, {case.name}"
    yield Row(f"explorer: bytes per step, kitty overlay, {where}", statistics.median(overlays), "KiB", "<= 4")
    yield Row(f"explorer: bytes per step, kitty in all, {where}", statistics.median(all_of_it), "KiB")


def opened(
    path: Path, speed: Speed | None = None, size: tuple[int, int] = (120, 40), graphics: str = "halfblock"
) -> Watched:
    """The explorer on a screen, with nothing remembered from before."""
    return watched(explore(path), path, speed, size, graphics)


def explore(path: Path) -> list[str]:
    """The command."""
    return [COMMAND, "explore", str(path)]


def watched(
    command: Sequence[str],
    path: Path,
    speed: Speed | None = None,
    size: tuple[int, int] = (120, 40),
    graphics: str = "halfblock",
) -> Watched:
    """A program on a screen, with a home of its own beside a file."""
    env = {**user_env(Path(tempfile.mkdtemp(dir=path.parent))), "FLOWTUI_GRAPHICS": graphics}
    columns, lines = size
    return Watched(command, env, columns=columns, lines=lines, speed=speed, kitty=graphics == "kitty")


def step(explorer: Watched, key: bytes) -> tuple[float, int]:
    """Presses a key; returns seconds to the last byte of the answer, and its bytes."""
    before = explorer.settle(0)
    at = explorer.send(key)
    explorer.settle(QUIET_S, 2, since=before)
    return explorer.chunks[-1].at - at, explorer.bytes_from(before)


def there_and_back(case: Case) -> Sequence[bytes]:
    """Steps over layers that were not shown before, then back over them."""
    there = min(case.layers - 1, case.steps // 2)
    return [b"l"] * there + [b"h"] * there
