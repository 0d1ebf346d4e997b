"""Engines on other machines: what an `ssh://` address says, and the command line that it becomes. Torch-free.

Everything goes through the system's ssh program, so that the user's keys, configuration and jump hosts count. Nothing
of an address is ever run by a shell: user, host and port have an alphabet of their own, the program travels as quoted
words.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from flowtui.errors import EngineError, UsageError

FORM = "ssh://[user@]host[:port][?command=PROGRAM]"
SSH_VARIABLE = "FLOWTUI_SSH"
FLOWTUI = ("flowtui",)
MAX_PROGRAM_LENGTH = 4096

_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
    r"(?:\?command=(?P<program>[^&#]*))?"
)
# What login shells other than POSIX ones treat otherwise, even between single quotes (fish, csh).
_NOT_FOR_EVERY_SHELL = re.compile(r"[\\'!]")
_OPTIONS = (
    # No terminal, no forwarding of any kind; a question that ssh would ask here could not be answered.
    "-T",
    "-x",
    "-a",
    "-oClearAllForwardings=yes",
    "-oBatchMode=yes",
    "-oConnectTimeout=10",
    # A line that is frozen for 6 s is dead.
    "-oServerAliveInterval=2",
    "-oServerAliveCountMax=3",
    # A master that is there is used; this ssh never becomes one, which would outlive the engine and listen.
    "-oControlMaster=no",
    "-oPermitLocalCommand=no",
    "-oRemoteCommand=none",
)


@dataclass(frozen=True, slots=True)
class FarPlace:
    """Another machine.

    Attributes:
        host: Its name or address, as ssh is to be told.
        user, port: None for what ssh's configuration says.
        program: How flowtui is started there, in words.
    """

    host: str
    user: str | None = None
    port: int | None = None
    program: tuple[str, ...] = FLOWTUI


def read_place(address: str) -> FarPlace:
    """Reads `ssh://[user@]host[:port][?command=PROGRAM]`.

    PROGRAM, percent-encoded where need be, is a program and arguments in front of flowtui's own; `~/` at its beginning
    is the home directory there.

    Raises:
        UsageError: It is no such address, or one that could be taken for something else.
    """
    found = _ADDRESS.fullmatch(address)
    port = int(found["port"]) if found and found["port"] else None
    if not found or (port is not None and not 0 < port < 65536):
        raise UsageError(f"The engine {_short(address)!r} cannot be reached.", f"Use local or {FORM}.")
    program = FLOWTUI if found["program"] is None else _words(unquote(found["program"]))
    return FarPlace(found["host"].strip("[]"), found["user"], port, program)


def ssh_command(place: FarPlace, words: Sequence[str]) -> tuple[str, ...]:
    """The command that runs a program there, in the home directory, with its own exit code also when a signal ends it.

    Raises:
        EngineError: There is no ssh program here.
        UsageError: FLOWTUI_SSH is not a program and its arguments.
    """
    # The inner shell stays: without it ssh would report a killed program as it reports a broken line, with 255.
    script = f"{' '.join(map(_quote, words))}; exit $?"
    user = () if place.user is None else ("-l", place.user)
    port = () if place.port is None else ("-p", str(place.port))
    return (*_ssh(), *_OPTIONS, *user, *port, "--", place.host, f"exec sh -c {shlex.quote(script)}")


def _ssh() -> tuple[str, ...]:
    """The ssh program, with what the user gives it."""
    text = os.environ.get(SSH_VARIABLE, "").strip() or "ssh"
    try:
        name, *options = shlex.split(text)
    except ValueError as error:
        hint = "Write it like: ssh -F /path/to/config"
        raise UsageError(f"{SSH_VARIABLE} cannot be read: {str(error).lower()}.", hint) from error
    program = shutil.which(name)
    if program is None:
        raise EngineError(f"There is no {_short(name)} program on this machine.", "Install an OpenSSH client.")
    return (program, *options)


def _words(text: str) -> tuple[str, ...]:
    """The program of an address in words."""
    hint = "Write it like: ?command=/path/to/flowtui, with %20 for a blank."
    try:
        words = shlex.split(text) if len(text) <= MAX_PROGRAM_LENGTH else []
    except ValueError:
        words = []
    if not words or words[0].startswith("-") or not words[0]:
        raise UsageError(f"The engine's command {_short(text)!r} is no program and arguments.", hint)
    if any(map(_NOT_FOR_EVERY_SHELL.search, words)) or not text.isprintable():
        raise UsageError(f"The engine's command {_short(text)!r} holds characters that shells take differently.", hint)
    first = f".{words[0][1:]}" if words[0].startswith("~/") else words[0]
    return (first, *words[1:])


def _quote(word: str) -> str:
    # A word with = at the beginning of a command would set a variable: quoted, it is a program's name like any other.
    return f"'{word}'" if "=" in word and "'" not in word else shlex.quote(word)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
