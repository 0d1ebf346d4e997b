"""The explorer in a real terminal of 80 by 24."""

from __future__ import annotations

import re
from pathlib import Path

from flowtui.cache.runfile import write_plain
from flowtui.engine.demo.examples import Example
from tests.e2e.terminal import COMMAND, Call, Open, Terminal
from tests.factories import random_run


def layer_of(text: str) -> set[int]:
    """The layers that the panels' headings name."""
    return {int(number) for number in re.findall(r"layer (\d+)/11", text)}


def test_keys_move_every_panel_and_q_leaves_a_clean_terminal(terminal: Open, shipped_file: Path, flowtui: Call) -> None:
    cliff = int(re.search(r"cliff +K = (\d+)", flowtui("show", shipped_file).stdout)[1])  # type: ignore[index]
    screen = terminal("sh", "-c", f"stty -g; {COMMAND} {shipped_file}; code=$?; stty -g; exit $code")
    screen.wait_for(lambda text: layer_of(text) == {0} and "q quit" in text)
    screen.send("lll")
    screen.wait_for(lambda text: layer_of(text) == {3})
    screen.send("h")
    screen.wait_for(lambda text: layer_of(text) == {2})
    screen.send("G")
    screen.wait_for(lambda text: layer_of(text) == {11})
    screen.send("c")
    screen.wait_for(lambda text: layer_of(text) == {cliff})
    screen.send("?")
    screen.wait_for(lambda text: "flowtui help" in text)
    screen.send("\x1b")
    screen.wait_for(lambda text: layer_of(text) == {cliff})
    screen.send("q")
    assert screen.wait_for_end() == 0
    settings = re.findall(rb"[0-9a-f]+(?::[0-9a-f]+){20,}", screen.raw)
    assert len(settings) == 2
    assert settings[0] == settings[1]
    for on, off in ((b"?1049h", b"?1049l"), (b"?25l", b"?25h"), (b"?1000h", b"?1000l"), (b"?2004h", b"?2004l")):
        assert screen.raw.rfind(b"\x1b[" + off) > screen.raw.rfind(b"\x1b[" + on) >= 0


def test_the_view_is_remembered(terminal: Open, shipped_file: Path) -> None:
    screen = terminal(COMMAND, "explore", shipped_file, columns=120, lines=40)
    screen.wait_for(lambda text: len(layer_of(text)) == 1)
    screen.send("gll")
    screen.wait_for(lambda text: layer_of(text) == {2})
    screen.send("q")
    assert screen.wait_for_end() == 0
    screen = terminal(COMMAND, shipped_file, "--graphics", "ascii")
    screen.wait_for(lambda text: layer_of(text) == {2})
    screen.send("q")
    assert screen.wait_for_end() == 0


def test_what_is_missing_fills_in_live_and_is_kept(terminal: Open, flowtui: Call, example: Example, home: Path) -> None:
    path = home / "live.pkl"
    # Another image than the other tests use, so that nothing of it is in the cache.
    question = "Describe the image."
    some = ("--analysis", "attention", "--device", "cpu")
    flowtui("run", example.image.with_name("scene-8.png"), question, *some, "-o", path)
    screen = terminal(COMMAND, path, columns=120, lines=40)
    screen.wait_for(lambda text: "Press r to compute" in text and "q quit" in text)
    screen.send("r")
    screen.wait_for(lambda text: "Esc cancels" in text)
    screen.wait_for(lambda text: "Press r to compute" not in text and "q quit" in text, timeout_s=240)
    screen.send("q")
    assert screen.wait_for_end() == 0
    assert "missing" not in flowtui("show", path).stdout


def test_text_in_a_run_cannot_steer_the_terminal(terminal: Open, home: Path) -> None:
    path = home / "hostile.pkl"
    write_plain(path, random_run(answer=("\x1b]52;c;aGk=\x07", "\x9b31m", "[bold]x[/]")).to_plain())
    for command in ("show", "explore"):
        screen = terminal(COMMAND, command, path)
        if command == "explore":
            screen.wait_for(lambda text: len(layer_of(text)) == 1)
            screen.send("]]]")
            screen.wait_for(lambda text: "[bold]x" in text)
            screen.send("q")
        assert screen.wait_for_end() == 0
        assert b"\x1b]52" not in screen.raw
        assert "\x9b".encode() not in screen.raw


def test_without_a_terminal_it_says_what_to_use(flowtui: Call, shipped_file: Path) -> None:
    done = flowtui(shipped_file, code=2)
    assert "needs a terminal" in done.stderr
    assert "flowtui show" in done.stderr


def colours(terminal: Terminal) -> list[list[tuple[str, str]]]:
    """What can be seen of each cell's colours: those of a blank's text cannot."""
    screen = terminal.screen
    rows = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    return [[("" if cell.data == " " else cell.fg, cell.bg) for cell in row] for row in rows]


def test_after_any_resizing_the_screen_is_as_if_just_opened(terminal: Open, home: Path) -> None:
    path = home / "resized.pkl"
    write_plain(path, random_run(seed=3).to_plain())
    sizes = ((250, 70), (60, 20), (120, 40), (61, 20), (60, 21), (200, 24), (80, 60), (80, 24))
    screen = terminal(COMMAND, path, columns=100, lines=30)
    screen.wait_for(lambda text: "q quit" in text)
    for columns, lines in sizes:
        screen.resize(columns, lines)
        # The last line is the status line, in its full width.
        screen.wait_for(lambda text: text.rstrip().endswith("q quit") and text.count("\n") == lines - 1)  # noqa: B023
        screen.read_rest()
        fresh = terminal(COMMAND, path, columns=columns, lines=lines)
        fresh.wait_for(lambda text: "q quit" in text)
        fresh.read_rest()
        assert screen.text == fresh.text, (columns, lines)
        assert colours(screen) == colours(fresh), (columns, lines)


def test_the_size_is_the_terminals_and_not_the_shells(terminal: Open, home: Path) -> None:
    path = home / "sized.pkl"
    write_plain(path, random_run(seed=3).to_plain())
    screen = terminal("/usr/bin/env", "COLUMNS=80", "LINES=24", COMMAND, path, columns=100, lines=30)
    screen.wait_for(lambda text: "q quit" in text.splitlines()[-1])
    screen.resize(120, 40)
    screen.wait_for(lambda text: "q quit" in text.splitlines()[-1])
