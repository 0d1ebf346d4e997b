"""Where an engine runs and how its process is started, watched and ended. Torch-free."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import sys
from dataclasses import dataclass

from flowtui.errors import EngineError, UsageError

EXIT_DEVICE_LOST = 75
"""Exit code of an engine whose device is unusable until a new process opens it."""

_TARGET = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SSH_OPTIONS = (
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
)


@dataclass(frozen=True, slots=True)
class Target:
    """A place an engine runs at.

    Attributes:
        command: The program that speaks the protocol on its stdin and stdout.
        host: Name of the other machine, None here.
    """

    command: tuple[str, ...]
    host: str | None = None


def find_target(engine: str) -> Target:
    """Turns "local" or "ssh://[user@]host[:port]" into a command.

    The remote command is `flowtui engine`, or what FLOWTUI_REMOTE_COMMAND says (to enter an environment first).

    Raises:
        UsageError: It is neither.
        EngineError: There is no ssh program.
    """
    if engine == "local":
        # -P: a file in the current folder must not take the place of a module.
        return Target((sys.executable, "-P", "-m", "flowtui.engine.process"))
    found = _TARGET.fullmatch(engine)
    port = int(found["port"]) if found and found["port"] else None
    if not found or (port is not None and not 0 < port < 65536):
        raise UsageError(f"The engine {_plain(engine)!r} cannot be reached.", "Use local or ssh://[user@]host[:port].")
    ssh = shutil.which("ssh")
    if ssh is None:
        raise EngineError("There is no ssh program on this machine.", "Install an OpenSSH client.")
    host = found["host"].strip("[]")
    remote = os.environ.get("FLOWTUI_REMOTE_COMMAND") or shlex.join(("flowtui", "engine"))
    user = () if found["user"] is None else ("-l", found["user"])
    where = () if port is None else ("-p", str(port))
    return Target((ssh, *_SSH_OPTIONS, *user, *where, "--", host, remote), host)


def describe_end(target: Target, code: int | None, stderr: list[str]) -> EngineError:
    """Why an engine went away, in a sentence.

    Args:
        target: Where it ran.
        code: Exit code, negative for a signal, None where it is not known.
        stderr: Its last lines.
    """
    last = next((text for line in reversed(stderr) if (text := _plain(line))), "")
    said = f": {last}" if last else ""
    if target.host and code == 255:
        return EngineError(f"The connection to {target.host} failed{said}.", f"Try it by hand: ssh {target.host} true")
    if target.host and code == 127:
        return EngineError(
            f"There is no flowtui on {target.host}{said}.",
            "Install it there, or say how to start it: FLOWTUI_REMOTE_COMMAND='/path/to/flowtui engine'",
        )
    place = f" on {target.host}" if target.host else ""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = "The system may have run out of memory." if code == -signal.SIGKILL else ""
        return EngineError(f"The engine{place} was ended by {name}{said}.", hint)
    return EngineError(f"The engine{place} ended (exit code {code}){said}.")


def _plain(text: str) -> str:
    """One short line that cannot steer a terminal."""
    line = _CONTROL.sub(" ", text).strip().rstrip(".")
    return line if len(line) <= 200 else line[:197] + "..."
