"""Every command of the README, as it stands there, in a copy of the checkout's examples."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from flowtui.engine.demo.model import build_config, build_processor
from flowtui.errors import KINDS, FlowtuiError
from tests.e2e.terminal import COMMAND, Terminal

ROOT = Path(__file__).parents[2]
HUB_ID = "llava-hf/llava-1.5-7b-hf"
# `make test` runs this test, and the full examination of the demo model is a test of its own, with fewer questions.
ELSEWHERE = {"make test", ". .venv/bin/activate", "flowtui demo --check"}
INTERACTIVE = {"flowtui explore shape.pkl", "flowtui examples/presence.pkl"}


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README takes for granted: the examples, a photo, and the named model in the hub's local cache."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", folder / "examples")
    Image.new("RGB", (160, 120), "gray").save(folder / "photo.jpg")
    cached = folder / "hub" / f"models--{HUB_ID.replace('/', '--')}"
    snapshot = cached / "snapshots" / ("0" * 40)
    torch.manual_seed(0)
    LlavaForConditionalGeneration(build_config(3)).save_pretrained(snapshot)
    build_processor().save_pretrained(snapshot)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    return folder


@pytest.fixture
def readme_env(env: dict[str, str], folder: Path) -> dict[str, str]:
    return {**env, "HF_HUB_CACHE": str(folder / "hub"), "PATH": f"{COMMAND.parent}:{env['PATH']}"}


@pytest.fixture
def screen(readme_env: dict[str, str], folder: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    terminal = Terminal(["/bin/sh", "-c", request.param], readme_env, folder)
    yield terminal
    terminal.close()


def test_the_readme_has_commands_and_names_what_is_tested_elsewhere() -> None:
    assert ELSEWHERE | INTERACTIVE | {"make demo"} <= set(commands())


def test_the_readme_names_every_exit_code() -> None:
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)}
    assert named == {0} | {kind.exit_code for kind in KINDS.values()} | {FlowtuiError.exit_code}


@pytest.mark.timeout(900)
def test_every_command_runs(folder: Path, readme_env: dict[str, str]) -> None:
    for command in commands():
        if command in ELSEWHERE | INTERACTIVE:
            continue
        where = ROOT if command.startswith("make") else folder
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=readme_env,
            cwd=where,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert {p.suffix for p in (folder / "figures").iterdir()} >= {".png"}


@pytest.mark.parametrize("screen", sorted(INTERACTIVE), indirect=True)
def test_the_explorer_opens_and_leaves(screen: Terminal, request: pytest.FixtureRequest, folder: Path) -> None:
    if not (folder / "shape.pkl").exists():
        shutil.copy(folder / "examples" / "shape.pkl", folder / "shape.pkl")
    screen.wait_for(lambda text: "layer" in text)
    screen.send("q")
    assert screen.wait_for_end() == 0
