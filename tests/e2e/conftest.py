"""The installed command, in folders of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flowtui.engine.demo.examples import Example, first_of
from tests.e2e.terminal import COMMAND, Call, Open, Terminal


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def env(home: Path) -> dict[str, str]:
    """The environment of a user who has just installed flowtui."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("FLOWTUI_", "XDG_", "PYTHON", "COV_", "NO_COLOR", "COLUMNS", "LINES"))
    }
    own = {"HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor", "HF_HUB_OFFLINE": "1"}
    return {**kept, **own, "FLOWTUI_CACHE_DIR": str(home / "cache"), "LANG": "C.UTF-8", "TMUX": ""}


@pytest.fixture(scope="session")
def flowtui(env: dict[str, str], home: Path) -> Call:
    """Calls the command without a terminal."""

    def call(*arguments: object, code: int | None = 0, **changed: str) -> subprocess.CompletedProcess[str]:
        command: Sequence[str] = [str(COMMAND), *map(str, arguments)]
        done = subprocess.run(
            command,
            env={**env, **changed},
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert code is None or done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.fixture
def terminal(env: dict[str, str], home: Path, tmp_path: Path) -> Iterator[Open]:
    """Calls a command in a terminal. How runs were looked at is remembered within a test, not from one to another."""
    own = {**env, "XDG_STATE_HOME": str(tmp_path / "state")}
    opened: list[Terminal] = []

    def start(*command: object, columns: int = 80, lines: int = 24) -> Terminal:
        opened.append(Terminal([*map(str, command)], own, home, columns, lines))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def example() -> Example:
    """A shipped question about a shipped scene."""
    return first_of("colour")


@pytest.fixture(scope="session")
def run_file(flowtui: Call, example: Example, home: Path) -> Path:
    """A run of the shipped model on it, made by the command."""
    path = home / "made.pkl"
    flowtui("run", example.image, example.question, "--device", "cpu", "-o", path)
    return path


@pytest.fixture(scope="session")
def shipped_file(home: Path) -> Path:
    """The same run as it is shipped, for tests that only look at one: making it takes half a minute."""
    return Path(shutil.copy(Path(__file__).parents[2] / "examples" / "colour.pkl", home / "run.pkl"))
