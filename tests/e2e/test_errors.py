"""Every failure: one line, a hint, an exit code of its own, nothing on stdout."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest

from flowtui.engine.demo.examples import Example
from tests.e2e.terminal import COMMAND, Call


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.pkl").write_text("hello")
    (folder / "evil.pkl").write_bytes(pickle.dumps({"format": "flowtui-run", "x": Evil()}))
    (folder / "other.pkl").write_bytes(pickle.dumps({"format": "something else"}))
    (folder / "image.png").write_text("not an image")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nope"], 2, "nope"),
        (["show", "missing.pkl"], 3, "missing.pkl"),
        (["missing.pkl"], 3, "missing.pkl"),
        (["explore", "missing.pkl"], 3, "missing.pkl"),
        (["precompute", "missing.pkl"], 3, "missing.pkl"),
        (["show", "{files}/text.pkl"], 3, "text.pkl"),
        (["show", "{files}/evil.pkl"], 3, "evil.pkl"),
        (["explore", "{files}/evil.pkl"], 3, "evil.pkl"),
        (["{files}/evil.pkl"], 3, "evil.pkl"),
        (["show", "{files}/other.pkl"], 3, "not a flowtui run"),
        (["export", "{files}/other.pkl", "-o", "out"], 3, "not a flowtui run"),
        (["run", "missing.png", "What?"], 2, "missing.png"),
        (["run", "{files}/image.png", "What?"], 2, "image.png"),
        (["run", "{image}", "What?", "--model", "{files}/empty"], 5, "config.json"),
        (["run", "{image}", "What?", "--model", "./missing"], 5, "missing"),
        (["run", "{image}", "What?", "--engine", "ftp://host"], 2, "ftp://host"),
        (["run", "{image}", "What?", "-o", "missing/run.pkl"], 2, "missing"),
        (["run", "{image}", "What?", "--analysis", "heads"], 2, "heads"),
        (["run", "{image}", "What?", "--layers", "40-50"], 2, "layers 0 to 11"),
        (["run", "{image}", "What?", "--device", "warp"], 2, "warp"),
        (["models", "--check", "{files}/empty"], 5, "config.json"),
        (["cache", "prune", "--max-size", "much"], 2, "much"),
    ],
)
def test_failures(
    flowtui: Call, files: Path, example: Example, arguments: list[str], code: int, said: str, home: Path
) -> None:
    filled = [text.format(files=files, image=example.image) for text in arguments]
    done = flowtui(*filled, code=code)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("flowtui: ")
    assert said in lines[0]
    assert not (home / "ran").exists()


def test_an_unusable_cache_is_said_and_worked_without(flowtui: Call, example: Example, home: Path) -> None:
    (home / "taken").touch()
    done = flowtui(
        "run", example.image, example.question, "--analysis", "attention", "--layers", "0", "--device", "cpu",
        "-o", home / "uncached.pkl", FLOWTUI_CACHE_DIR=str(home / "taken"),
    )  # fmt: skip
    assert "without" in done.stderr
    assert "answer" in done.stdout
    assert flowtui("cache", "info", code=4, FLOWTUI_CACHE_DIR=str(home / "taken")).stdout == ""


def test_a_reader_that_leaves_is_no_error(env: dict[str, str], shipped_file: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "show", shipped_file, "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
