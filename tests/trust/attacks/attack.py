"""An attack: a file made by code, what it is put to, and the only ways in which that may end."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from flowtui.errors import FlowtuiError
from flowtui.tui.cli.entry import run

CANARY = "flowtui-canary"
"""A file that every payload tries to make in the current folder."""
TOUCH = f"touch {CANARY}"
LONGEST_LINE = 500


@dataclass(frozen=True, slots=True)
class Attack:
    """One case.

    Attributes:
        family: What is attacked.
        name: Unique within its family.
        attempt: Makes the file in the current folder, which is empty, and uses it; AssertionError: it is broken.
    """

    family: str
    name: str
    attempt: Callable[[], None]


def command(*arguments: object, codes: Collection[int]) -> str:
    """Runs a command in this process: it ends with one of these exit codes, and says what is wrong in one clear line.

    Returns:
        What it wrote.
    """
    out, said = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(said):
        code = run([str(argument) for argument in arguments])
    text = said.getvalue()
    assert code in codes, f"{arguments} ended with {code} and not with {sorted(codes)}: {text[-300:]!r}"
    assert_harmless(out.getvalue())
    assert_harmless(text)
    lines = text.splitlines()
    if code not in (0, 8):
        assert out.getvalue() == "", f"{arguments} failed and yet wrote {out.getvalue()[:100]!r}"
        assert 1 <= len(lines) <= 2, f"{arguments} said what is wrong in {len(lines)} lines: {text[:300]!r}"
        assert lines[0].startswith("flowtui: "), lines[0]
    assert all(len(line) <= LONGEST_LINE for line in lines), f"{arguments} said {max(map(len, lines))} characters"
    return out.getvalue() + text


def refused(act: Callable[[], object], *codes: int) -> None:
    """An act ends with an error of ours that has one of these exit codes."""
    with pytest.raises(FlowtuiError) as caught:
        act()
    error = caught.value
    assert error.exit_code in codes, f"{error.kind} ({error.exit_code}): {error.message[:200]}"
    assert error.message.isprintable(), ascii(error.message[:300])
    assert len(error.message) <= LONGEST_LINE, f"a message of {len(error.message)} characters"


def assert_harmless(text: str) -> None:
    """No character in a text steers a terminal."""
    assert all(line.isprintable() for line in text.split("\n")), ascii(text[:300])


def evil_file(data: bytes, *codes: int) -> None:
    """A file that claims to be a run is put to the commands that open one."""
    path = Path("evil.pkl")
    path.write_bytes(data)
    # All others read a file as these two do.
    command("explore", path, codes=codes or (3,))
    command("precompute", "--yes", path, codes=codes or (3,))
