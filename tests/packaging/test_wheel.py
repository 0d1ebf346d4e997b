"""The wheel that a source distribution gives holds everything, and works where nothing else of the checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A record of how the shipped weights came about: for readers of the source, not for users.
ONLY_IN_SOURCE = {"flowtui/engine/demo/train.log"}
SOURCES = {"flowtui": "src/flowtui", "flowtui/cache": "cache", "flowtui/engine": "engine", "flowtui/tui": "tui"}


def ours() -> set[str]:
    """Every file that belongs into the wheel, by its name there."""
    found = set()
    for target, folder in SOURCES.items():
        pattern = "*" if target == "flowtui" else "**/*"
        for path in (ROOT / folder).glob(pattern):
            inside = path.relative_to(ROOT / folder)
            if path.is_file() and not {"__pycache__"} & set(inside.parts):
                found.add(f"{target}/{inside.as_posix()}")
    return found - ONLY_IN_SOURCE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def test_the_wheel_holds_every_file_and_no_other(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = ours()
    assert names == expected
    kinds = {Path(name).suffix for name in expected}
    assert {".py", ".tcss", ".png", ".json", ".typed", ".safetensors"} <= kinds


def test_the_source_distribution_holds_each_file_once(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = [member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()]
    assert len(names) == len(set(names))
    assert not [name for name in names if name.startswith(("src/flowtui/tui/", "src/flowtui/engine/"))]
    wanted = {"pyproject.toml", "constraints.txt", "Makefile", "LICENSE", "README.md", "docs/method.md"}
    assert wanted <= set(names)


def test_the_wheel_alone_runs_the_demo(built: tuple[Path, Path], tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    install = ["pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(built[1])]
    subprocess.run([sys.executable, "-m", *install], check=True)
    # What flowtui depends on comes from the environment that runs the tests. A plain line in a .pth file adds a folder
    # without reading the .pth files in it, so an editable flowtui there stays out of sight.
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FLOWTUI_", "XDG_"))}
    env |= {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}

    def call(*command: str) -> str:
        done = subprocess.run(
            command, env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = call(str(python), "-c", "import flowtui, flowtui.engine.demo as d; print(flowtui.__file__, d.__file__)")
    assert all(Path(name).is_relative_to(site) for name in place.split())
    out = call(str(venv / "bin" / "flowtui"), "demo", "--no-tui")
    assert "answer" in out
    assert "cliff" in out
    assert str(site) in out
