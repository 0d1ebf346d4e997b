"""`flowtui doctor --engine ssh://host`: the steps in order, and what to do at the first that fails."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from flowtui.engine.diagnosis import STEPS, Finding, diagnose
from flowtui.errors import UsageError
from tests.e2e.terminal import COMMAND
from tests.remote.sshd import Sshd

FAKE = Path(__file__).parents[1] / "engine" / "fake_engine.py"
PYTHON = "#!/bin/sh\necho {}\n"

Far = Callable[..., None]


async def found(*words: object) -> list[Finding]:
    command = quote(shlex.join(map(str, words)), safe="")
    return [finding async for finding in diagnose(f"ssh://box?command={command}")]


async def fake(**behaviour: Any) -> list[Finding]:
    return await found(sys.executable, FAKE, json.dumps(behaviour))


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Far:
    """Another machine: an ssh that runs commands here, with the programs given and no others of ours."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "far"
    folder.mkdir()
    near = tmp_path / "near"
    near.mkdir()

    def write(path: Path, script: str) -> None:
        path.write_text(script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def make(python: str | None = "3.12.1", start_up: str = "") -> None:
        for name in ("sh", "env", "true"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(f"/bin/{name}")
        if python is not None:
            write(folder / "python3", PYTHON.format(python))
        ssh = f'#!/bin/sh\nfor a; do last=$a; done\nPATH={folder}\n{start_up}\nexec sh -c "$last"\n'
        write(near / "ssh", ssh)
        monkeypatch.setenv("FLOWTUI_SSH", str(near / "ssh"))

    return make


def last_of(findings: list[Finding], step: str) -> Finding:
    """The finding at a step, which has to be the first that is not ok, with all before it."""
    assert [finding.step for finding in findings] == list(STEPS[: STEPS.index(step) + 1])
    assert [finding.ok for finding in findings[:-1]] == [True] * (len(findings) - 1)
    assert not findings[-1].ok
    return findings[-1]


async def test_all_is_well(far: Far) -> None:
    far()
    findings = await fake()
    assert [finding.step for finding in findings] == list(STEPS)
    assert all(finding.ok for finding in findings)
    assert "the CPU" in findings[3].found


async def test_no_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWTUI_SSH", "/nonexistent/ssh")
    assert "OpenSSH client" in last_of(await fake(), "ssh").advice


async def test_ssh_is_refused(far: Far) -> None:
    far(start_up="echo 'ann@box: Permission denied (publickey).' >&2; exit 255")
    finding = last_of(await fake(), "ssh")
    assert "Permission denied" in finding.found
    assert "ssh-copy-id box" in finding.advice


async def test_a_start_up_file_that_talks(far: Far) -> None:
    far(start_up="echo Welcome")
    finding = last_of(await fake(), "ssh")
    assert "Welcome" in finding.found
    assert ".bashrc" in finding.advice


async def test_no_python(far: Far) -> None:
    far(python=None)
    assert "Install Python" in last_of(await found("flowtui"), "python").advice


async def test_an_old_python(far: Far) -> None:
    far(python="3.9.2")
    finding = last_of(await found("flowtui"), "python")
    assert finding.found == "3.9.2"
    assert "needs 3.11" in finding.advice


async def test_no_flowtui(far: Far) -> None:
    far()
    assert "?command=" in last_of(await found("flowtui"), "flowtui").advice


async def test_another_flowtui(far: Far) -> None:
    far()
    finding = last_of(await fake(protocol=99), "flowtui")
    assert "protocol 99" in finding.found
    assert "same flowtui" in finding.advice


@pytest.mark.parametrize(
    ("step", "what", "said"),
    [
        ("torch", {"torch_error": "ImportError: libcudart.so.12: no such file"}, "libcudart.so.12"),
        ("GPU", {"gpu_error": "torch cannot use NVIDIA H100: it is built for the CPU"}, "built for the CPU"),
        ("cache", {"cache_error": "The cache in /x cannot be used: the disk is full."}, "disk is full"),
    ],
)
async def test_what_the_engine_finds(far: Far, step: str, what: dict[str, Any], said: str) -> None:
    far()
    finding = last_of(await fake(found=what), step)
    assert said in finding.found
    assert finding.found.isprintable()
    assert finding.advice


async def test_no_address() -> None:
    with pytest.raises(UsageError):
        [finding async for finding in diagnose("ssh://-x")]


@pytest.mark.parametrize("works", [True, False])
def test_the_command_through_a_real_sshd(sshd: Sshd, tmp_path: Path, works: bool) -> None:
    engine = f"ssh://far?command={COMMAND if works else '/nonexistent'}"
    env = {**os.environ, "FLOWTUI_CACHE_DIR": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [COMMAND, "doctor", "--engine", engine],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env=env,
        check=False,
    )
    section = done.stdout.partition("\nengine\n")[2].partition("\nterminal\n")[0]
    steps = [line.split()[0] for line in section.splitlines() if line.startswith("  ") and line[2] != " "]
    if works:
        assert done.returncode == 0, done.stderr + done.stdout
        assert steps == ["place", *STEPS]
        assert str(sshd.cache) in section
    else:
        assert done.returncode == 6
        assert steps == ["place", "ssh", "python", "flowtui"]
        assert "FAILED: There is no flowtui on far" in section
