"""A second question in the explorer, answered by the real demo model."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import psutil

from flowtui.cache.runfile import read_plain
from flowtui.engine.demo.examples import Example
from flowtui.engine.results import Run
from tests.e2e.terminal import COMMAND, Call, Open


def engines_of(pid: int) -> list[psutil.Process]:
    """The engine processes of an explorer."""
    return [p for p in psutil.Process(pid).children(recursive=True) if "flowtui.engine.process" in p.cmdline()]


def test_a_second_question_is_answered_by_the_same_engine(
    terminal: Open, flowtui: Call, example: Example, home: Path
) -> None:
    folder = home / "asked"
    folder.mkdir()
    # An image of its own, so that nothing of it is in the cache.
    image = shutil.copy(example.image.with_name("scene-7.png"), folder / "scene.png")
    path = folder / "scene.pkl"
    some = ("--analysis", "attention,truncation", "--device", "cpu")
    flowtui("run", image, "Describe the image.", *some, "-o", path)
    before = path.read_bytes()
    screen = terminal(COMMAND, path, columns=120, lines=40)
    screen.wait_for(lambda text: "Describe the image." in text and "q quit" in text)
    assert not engines_of(screen.pid)
    screen.send("a")
    screen.wait_for(lambda text: "Enter asks" in text and "scene-2.pkl" in text)
    screen.send("How many objects are in the image?\r")
    screen.wait_for(lambda text: "Esc cancels" in text)
    # The new run is on screen, beside the old one, and fills in.
    # What is said of it in passing may be over before a busy machine has drawn it; the header stays.
    screen.wait_for(lambda text: "scene-2.pkl" in text.splitlines()[0])
    screen.wait_for(lambda text: "[2 scene-2: How many objects" in text and "1 scene: Describe the image." in text)
    screen.wait_for(
        lambda text: "q quit" in text and "K  KL, nats" in text and "cliff" in text.split("KL, nats")[1].splitlines()[0]
    )
    (engine,) = engines_of(screen.pid)
    # Another image, by completion, to the engine that is there.
    screen.send("a")
    screen.wait_for(lambda text: "Enter asks" in text and "scene-3.pkl" in text)
    screen.send(f"What do you see?\t{example.image.parent}/scene-4.p\t")
    screen.wait_for(lambda text: "scene-4.png" in text, timeout_s=20)
    screen.send("\r")
    screen.wait_for(lambda text: "scene-3.pkl" in text.splitlines()[0])
    # Three tabs leave a title less room than it wants.
    screen.wait_for(lambda text: "[3 scene-3: What do you" in text and "q quit" in text)
    assert engines_of(screen.pid) == [engine]
    screen.send("{")
    screen.wait_for(lambda text: "[2 scene-2" in text)
    start = time.monotonic()
    screen.send("q")
    assert screen.wait_for_end() == 0
    assert time.monotonic() - start < 10
    engine.wait(timeout=10)
    assert path.read_bytes() == before
    for name, question in (("scene-2", "How many objects are in the image?"), ("scene-3", "What do you see?")):
        made = Run.from_plain(read_plain(folder / f"{name}.pkl"))
        assert made.spec.question == question
        assert sorted(made.analyses) == ["attention", "truncation"]
        assert not made.missing("attention")
        assert not made.missing("truncation")


def test_a_killed_explorer_leaves_no_engine(terminal: Open, flowtui: Call, example: Example, home: Path) -> None:
    path = home / "killed.pkl"
    flowtui("run", example.image, "Describe the image.", "--analysis", "attention", "--device", "cpu", "-o", path)
    screen = terminal(COMMAND, path)
    screen.wait_for(lambda text: "q quit" in text)
    screen.send("a")
    screen.wait_for(lambda text: "Enter asks" in text)
    screen.send("What do you see?\r")
    screen.wait_for(lambda text: "killed-2" in text and "Enter asks" not in text)
    (engine,) = engines_of(screen.pid)
    os.kill(screen.pid, signal.SIGKILL)
    engine.wait(timeout=10)


def test_several_files_and_the_list(terminal: Open, shipped_file: Path, home: Path) -> None:
    folder = home / "several"
    folder.mkdir()
    paths = [Path(shutil.copy(shipped_file, folder / f"{name}.pkl")) for name in ("one", "two", "three")]
    (folder / "torn.pkl").write_bytes(shipped_file.read_bytes()[:5000])
    screen = terminal(COMMAND, paths[0], paths[1], columns=120, lines=40)
    screen.wait_for(lambda text: "[1 one" in text and "2 two" in text)
    screen.send("\t")
    screen.wait_for(lambda text: "[2 two" in text)
    screen.send("b")
    screen.wait_for(lambda text: all(f"{name}.pkl" in text for name in ("one", "two", "three", "torn")))
    screen.wait_for(lambda text: "cut short" in text and "▀" in text)
    screen.send("\x1b")
    screen.wait_for(lambda text: "Enter opens" not in text)
    screen.send("q")
    assert screen.wait_for_end() == 0
    screen = terminal(COMMAND, "explore", paths[0], folder / "gone.pkl")
    assert screen.wait_for_end() != 0
    assert b"There is no file" in screen.raw
