"""What xterm, foot and kitty really draw, as screenshots."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.terminal import COMMAND
from tests.terminals.conftest import Open
from tests.terminals.expected import Distance, distance, draw, part, placed_maps
from tests.terminals.screens import Screen, wait_until

TERMINALS = {"xterm": "sixel", "foot": "sixel", "kitty": "kitty"}
ESCAPE = "\x1b"
SIXEL, PLACE = b"\x1bP0;1;0q", b"\x1b_Ga=p"
pytestmark = pytest.mark.timeout(600)


async def worst(screen: Screen, path: Path, keys: str = "") -> Distance:
    """How far the worst of the maps on screen is from what it should be."""
    seen, cell = screen.settled(), screen.cell_px
    size = screen.size
    found = await placed_maps(path, keys, (size["columns"], size["lines"]), cell)
    assert found
    every = []
    for placed, at in found:
        wanted = draw(placed, cell)
        every.append(distance(part(seen, at, wanted, cell), wanted))
    return Distance(max(d.mean for d in every), max(d.bad for d in every))


@pytest.mark.parametrize("name", TERMINALS)
async def test_the_map_is_drawn_in_pixels(terminal: Open, run_file: Path, name: str) -> None:
    screen = terminal(name, COMMAND, run_file)
    found = await worst(screen, run_file)
    assert found.mean < 5, found
    assert found.bad < 0.005, found
    # The same with a cursor on the peak, three layers on.
    screen.send("llli")
    found = await worst(screen, run_file, "llli")
    assert found.mean < 5, found
    assert found.bad < 0.005, found
    # And every layer's.
    screen.send("iv")
    found = await worst(screen, run_file, "llliiv")
    assert found.mean < 7, found
    assert found.bad < 0.005, found
    assert (SIXEL if TERMINALS[name] == "sixel" else PLACE) in screen.sent


async def test_half_blocks_would_not_pass_for_pixels(terminal: Open, run_file: Path) -> None:
    screen = terminal("kitty", COMMAND, run_file, "--graphics", "halfblock")
    found = await worst(screen, run_file)
    assert found.bad > 0.05, found
    assert PLACE not in screen.sent


@pytest.mark.parametrize("name", TERMINALS)
def test_nothing_is_left_behind(terminal: Open, run_file: Path, name: str) -> None:
    pixels, blocks = terminal(name, COMMAND, run_file), terminal(name, COMMAND, run_file, "--graphics", "halfblock")
    before = pixels.settled()
    assert distance(before, blocks.settled()).bad > 0.001, "no pixels to begin with"
    # A dialog, a view without maps, another dialog: as if there had never been a picture.
    for keys in (("?",), (ESCAPE, "5"), ("1", "e")):
        for key in keys:
            for screen in (pixels, blocks):
                screen.send(key)
            # An escape and a key that come together are one key with Alt.
            time.sleep(0.5)
        found = distance(pixels.settled(), blocks.settled())
        assert found.bad < 0.0005, (keys, found)
    pixels.send(ESCAPE)
    blocks.send(ESCAPE)
    assert distance(pixels.settled(), before).bad < 0.0005
    for screen in (pixels, blocks):
        screen.send("q")
        wait_until(lambda screen=screen: screen.code is not None, "the end")
        assert screen.code == 0
    assert distance(pixels.settled(), blocks.settled()).bad < 0.0005


@pytest.mark.parametrize("name", TERMINALS)
def test_suspended_it_leaves_the_screen_and_comes_back(terminal: Open, run_file: Path, name: str) -> None:
    screen = terminal(name, COMMAND, run_file)
    before = screen.settled()
    screen.send("\x1a")
    away = screen.settled()
    # The shell's screen, which is empty here.
    assert (np.abs(away.astype(int) - away[-1, -1]).max(axis=2) > 30).mean() < 0.001
    os.kill(screen.pid, signal.SIGCONT)
    assert distance(screen.settled(), before).bad < 0.0005


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_killed_it_leaves_nothing_behind(terminal: Open, run_file: Path, how: signal.Signals, code: int) -> None:
    screen = terminal("kitty", COMMAND, run_file)
    screen.settled()
    os.kill(screen.pid, how)
    wait_until(lambda: screen.code is not None, "the end")
    assert screen.code == code
    away = screen.settled()
    assert (np.abs(away.astype(int) - away[-1, -1]).max(axis=2) > 30).mean() < 0.001
    assert screen.sent.count(b"\x1b_Ga=d,d=I") >= 2


async def test_it_follows_the_size_of_the_window(terminal: Open, run_file: Path) -> None:
    screen = terminal("xterm", COMMAND, run_file)
    screen.settled()
    screen.tell("\x1b[8;44;130t")
    wait_until(lambda: screen.size["columns"] == 130, "the new size")
    found = await worst(screen, run_file)
    assert found.mean < 5, found
    assert found.bad < 0.005, found


@pytest.mark.parametrize(("name", "says"), [("xterm", "the terminal says"), ("foot", "TERM=foot"),
                                            ("kitty", "TERM=xterm-kitty")])  # fmt: skip
def test_doctor_names_the_protocol_and_the_reason(terminal: Open, name: str, says: str) -> None:
    screen = terminal(name, COMMAND, "doctor")
    wait_until(lambda: screen.code is not None, "the end")
    lines = [line.split(None, 1) for line in screen.sent.decode().splitlines() if line.strip()]
    told = {first: rest[0] if rest else "" for first, *rest in lines}
    assert told["graphics"].strip() == TERMINALS[name]
    assert says in told["why"] or says in screen.sent.decode()
    assert "{} x {} pixels".format(*screen.cell_px) in told["cell"]


def test_a_key_sends_little_with_kitty(terminal: Open, run_file: Path) -> None:
    screen = terminal("kitty", COMMAND, run_file)
    screen.settled()
    before = len(screen.sent)
    screen.send("l")
    screen.settled()
    step = screen.sent[before:]
    overlay = sum(len(part) + 2 for part in step.split(b"\x1b_G")[1:])
    assert PLACE in step
    assert overlay < 4 << 10, overlay
    assert b"\x1bP" not in step
