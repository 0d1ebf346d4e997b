"""Addresses of far engines: what may stand in them, and that nothing in them is ever run but the program they name."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

from flowtui.engine.far import FarPlace, read_place, ssh_command
from flowtui.engine.transport import find_target
from flowtui.errors import EngineError, UsageError

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "fish", "tcsh", "ksh") if shutil.which(shell)]


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh program that is never run."""
    program = tmp_path / "ssh"
    program.touch(mode=0o700)
    monkeypatch.setenv("FLOWTUI_SSH", str(program))
    return program


@pytest.mark.parametrize(
    "address",
    [
        "ssh://-oProxyCommand=touch x",
        "ssh://-oProxyCommand=x",
        "ssh://a@-b",
        "ssh://-l@host",
        "ssh://host name",
        "ssh://host\n",
        "ssh://host\x00",
        "ssh://host:0",
        "ssh://host:65536",
        "ssh://host:22:22",
        "ssh://ho%st",
        "ssh://%2doProxyCommand",
        "ssh://$(x)",
        "ssh://a`x`@host",
        "ssh://a;x@host",
        "ssh://host:2;2",
        "ssh://",
        "ssh://@host",
        "ssh://host/path",
        "host",
        "Local",
        "",
        "ssh://höst",
        "ssh://host?",
        "ssh://host?other=x",
        "ssh://host?command=",
        "ssh://host?command=%20",
        "ssh://host?command=''",
        "ssh://host?command=-x",
        "ssh://host?command=a%0Ab",
        "ssh://host?command=a%00b",
        "ssh://host?command=%1b]52",
        "ssh://host?command='a",
        "ssh://host?command=%22it's%22",
        "ssh://host?command='a%5Cb'",
        "ssh://host?command=a!b",
        "ssh://host?command=a&x=b",
        "ssh://host?command=a#b",
        "ssh://host?command=" + "a" * 5000,
    ],
)
def test_addresses_that_could_be_taken_for_something_else_are_refused(ssh: Path, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_target(address)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("ssh://box", FarPlace("box")),
        ("ssh://a.b@box_1.x:22/", FarPlace("box_1.x", "a.b", 22)),
        ("ssh://[::1]:2200", FarPlace("::1", None, 2200)),
        ("ssh://box?command=/opt/v/bin/flowtui", FarPlace("box", program=("/opt/v/bin/flowtui",))),
        ("ssh://box/?command=~/v/bin/flowtui", FarPlace("box", program=("./v/bin/flowtui",))),
        (
            "ssh://a@box:1?command=conda run -n v flowtui",
            FarPlace("box", "a", 1, ("conda", "run", "-n", "v", "flowtui")),
        ),
        ("ssh://box?command=env%20A=1%20'b%20c'", FarPlace("box", program=("env", "A=1", "b c"))),
    ],
)
def test_an_address_is_read(address: str, place: FarPlace) -> None:
    assert read_place(address) == place


def test_a_place_becomes_arguments_of_ssh(ssh: Path) -> None:
    command = find_target("ssh://a.b@box:22?command=v/flowtui").command
    assert command[0] == str(ssh)
    assert command[-7:-1] == ("-l", "a.b", "-p", "22", "--", "box")
    assert command[-1] == "exec sh -c 'v/flowtui engine; exit $?'"
    assert find_target("ssh://[::1]").command[-3:-1] == ("--", "::1")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "word",
    [
        *("; touch {0}", "$(touch {0})", "`touch {0}`", "| touch {0}", "&& touch {0}", "&touch {0}", "> {0}"),
        *(
            '"; touch {0}; "',
            "${{IFS}}touch {0}",
            "<(touch {0})",
            "a=b touch {0}",
            "x=1",
            "*",
            "?",
            "~",
            "{{a,b}}",
            "%s",
        ),
        *("-x", "a b", "^", "$?", "$0", "$HOME", "ü", "(touch {0})", "#", "--", "$((1))", "[a]"),
    ],
)
def test_no_shell_runs_what_stands_in_a_command(tmp_path: Path, ssh: Path, shell: str, word: str) -> None:
    marker, out = tmp_path / "marker", tmp_path / "out"
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nfor a; do echo "$a"; done > {out}\nexit 7\n')
    program.chmod(0o700)
    word = word.format(marker)
    address = f"ssh://box?command={quote(shlex.join([str(program), word]), safe='')}"
    # What sshd does with a command: the user's login shell gets it as one argument.
    done = subprocess.run([shell, "-c", find_target(address).command[-1]], cwd=tmp_path, check=False)
    assert done.returncode == 7
    assert not marker.exists()
    assert out.read_text().split("\n") == [word, "engine", ""]


def test_a_program_cannot_set_a_variable(tmp_path: Path, ssh: Path) -> None:
    line = ssh_command(read_place("ssh://box?command=A=1"), ("A=1", "true"))[-1]
    assert subprocess.run(["sh", "-c", line], stderr=subprocess.DEVNULL, check=False).returncode == 127


def test_a_signal_there_is_told_apart_from_ssh_s_own_failure(ssh: Path) -> None:
    line = ssh_command(FarPlace("box"), ("sh", "-c", "kill -KILL $$"))[-1]
    assert subprocess.run(["sh", "-c", line], stderr=subprocess.DEVNULL, check=False).returncode == 137


def test_without_ssh_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(EngineError, match="no ssh"):
        find_target("ssh://box")
    monkeypatch.setenv("FLOWTUI_SSH", "autossh 'x")
    with pytest.raises(UsageError, match="FLOWTUI_SSH"):
        find_target("ssh://box")


def test_ssh_may_be_given_options(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWTUI_SSH", f"{ssh} -F '/a b/config'")
    assert find_target("ssh://box").command[:3] == (str(ssh), "-F", "/a b/config")
