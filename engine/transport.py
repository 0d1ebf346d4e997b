"""Where an engine runs, how its process is started, and what its end means. Torch-free."""

from __future__ import annotations

import re
import signal
import sys
from dataclasses import dataclass

from flowtui.errors import EngineError, LineError

from .far import FORM, read_place, ssh_command

EXIT_DEVICE_LOST = 75
"""Exit code of an engine whose device is unusable until a new process opens it."""

EXIT_SILENCE = 76
"""Exit code of a far engine that has heard nothing from its client for too long."""

_SSH_FAILED = 255
_NOT_FOUND = (126, 127)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# What ssh says when it cannot connect, and what to do about it.
_ADVICE = (
    ("permission denied|too many authentication", "ssh must get in without asking: use ssh-add, or ssh-copy-id {host}"),
    ("host key|known_hosts", "Connect once by hand and look at the key: ssh {host}"),
    ("resolve hostname|name or service", "Check the name, or give it an entry in ~/.ssh/config."),
    ("refused|timed out|no route|unreachable", "Is the machine up, and does sshd listen on that port?"),
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
    """Turns "local" or `ssh://[user@]host[:port][?command=PROGRAM]` into a command.

    Raises:
        UsageError: It is neither.
        EngineError: There is no ssh program.
    """
    if engine == "local":
        # -P: a file in the current folder must not take the place of a module.
        return Target((sys.executable, "-P", "-m", "flowtui.engine.process"))
    place = read_place(engine)
    return Target(ssh_command(place, (*place.program, "engine")), place.host)


def describe_end(target: Target, code: int | None, stderr: list[str], *, greeted: bool = True) -> EngineError:
    """Why an engine went away, in a sentence.

    Args:
        target: Where it ran.
        code: Exit code, negative for a signal, None where it is not known.
        stderr: Its last lines.
        greeted: Whether it had been there at all.
    """
    last = next((text for line in reversed(stderr) if (text := plain_line(line))), "")
    said = f": {last}" if last else ""
    if target.host and code is not None:
        if (error := _describe_far_end(target.host, code, last, said, greeted)) is not None:
            return error
        # The shell there says 128 and the signal.
        code = 128 - code if 128 < code < _SSH_FAILED else code
    place = f" on {target.host}" if target.host else ""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = "The system may have run out of memory." if code == -signal.SIGKILL else ""
        return EngineError(f"The engine{place} was ended by {name}{said}.", hint)
    return EngineError(f"The engine{place} ended (exit code {code}){said}.")


def _describe_far_end(host: str, code: int, last: str, said: str, greeted: bool) -> EngineError | None:
    """What only an engine on another machine ends of; None where it is as anywhere."""
    if code == EXIT_SILENCE:
        return LineError(f"The engine on {host} heard nothing from here for a while, and ended.", _RESUME)
    if code < 0:
        return LineError(f"The ssh to {host} was ended{said}.", _RESUME)
    if code == _SSH_FAILED and greeted:
        return LineError(f"The line to {host} was lost{said}.", _RESUME)
    if code == _SSH_FAILED:
        hint = next(
            (hint for words, hint in _ADVICE if re.search(words, last.lower())), "Try it by hand: ssh {host} true"
        )
        return LineError(f"The connection to {host} failed{said}.", hint.format(host=host))
    if code in _NOT_FOUND:
        hint = f"Install flowtui there, or say where it is: {FORM}, as in ?command=~/venv/bin/flowtui"
        return EngineError(f"There is no flowtui on {host}{said}.", hint)
    if not greeted:
        hint = f"Look at it with: flowtui doctor --engine ssh://{host}"
        return EngineError(f"What was started on {host} is no engine (exit code {code}){said}.", hint)
    return None


_RESUME = "What has arrived is kept: ask again to go on from there."


def plain_line(text: str) -> str:
    """One short line that cannot steer a terminal."""
    line = _CONTROL.sub(" ", text).strip().rstrip(".")
    return line if len(line) <= 200 else line[:197] + "..."
