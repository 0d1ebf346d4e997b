"""Runs attacks in a process of its own, where an audit hook sees all that Python does; its case numbers come on stdin.

A hook cannot be taken out again, which is why tests do not install one in their own process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.trust.attacks.attack import CANARY, Attack

MODULES = ("pickles", "lies", "caches", "pictures", "frames", "settings")
MODEL_MODULES = ("folders",)
HANG_S = 60
MOST_CPU_S = 20.0

CODE = frozenset(
    [
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "subprocess.Popen",
        "pickle.find_class",
        "ctypes.dlopen",
        "socket.connect",
        "socket.bind",
        "socket.getaddrinfo",
        "webbrowser.open",
        "sqlite3.load_extension",
        "pty.spawn",
    ]
)
"""Events of running something or of reaching out."""
OWN_PROGRAMS = ("fc-list",)
"""What drawing a figure runs by itself: matplotlib looks for fonts."""
CHANGES = frozenset(
    [
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "os.chmod",
        "os.chown",
        "os.utime",
        "shutil.rmtree",
        "shutil.move",
    ]
)
"""Events that change what they name."""


class Watch:
    """What the hook saw while it was armed."""

    def __init__(self, root: Path) -> None:
        self.armed = False
        self.seen: list[str] = []
        self._outside = str(root / "outside")
        self._own = (str(root), "/dev/", "/proc/")
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event in CODE:
            if not (event == "subprocess.Popen" and arguments[0] in OWN_PROGRAMS):
                self._see(event, arguments)
        elif event == "exec":
            code = arguments[0]
            if CANARY in repr(getattr(code, "co_consts", "")):
                self._see(event, code)
        elif event == "open":
            path, _, flags = arguments
            flags = flags or 0
            writing = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            self._path(event, path, flags, changes=writing)
        elif event in CHANGES:
            # Where a link leads to is only a text.
            for path in arguments[event in ("os.symlink", "os.link") : 2]:
                self._path(event, path, changes=True)

    def _path(self, event: str, path: object, flags: int = 0, *, changes: bool) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.fsdecode(path)
        # A link itself may be removed: what counts is where its folder really is, and for reading what it leads to.
        folder, leaf = os.path.split(os.path.abspath(name))  # noqa: PTH100  (as written, links unresolved)
        follows = event == "open" and not flags & os.O_NOFOLLOW
        real = os.path.realpath(name) if follows else f"{os.path.realpath(folder)}/{leaf}"
        if real.startswith(self._outside) or (changes and not real.startswith(self._own)):
            self._see(event, path)

    def _see(self, event: str, what: object) -> None:
        self.seen.append(f"{event} {ascii(what)[:160]}")


class HungError(BaseException):
    """A case took so long that it was stopped."""


def _hung(*_: object) -> None:
    raise HungError


def load(modules: tuple[str, ...]) -> list[Attack]:
    """Every attack of some modules, in order."""
    return [attack for name in modules for attack in import_module(f"tests.trust.attacks.{name}").attacks()]


def run(root: Path, modules: tuple[str, ...], cases: list[int]) -> list[dict[str, Any]]:
    """Runs cases; for each what ran, what was reached, how long it took and what else is wrong."""
    attacks = load(modules)
    outside = root / "outside"
    _fill(outside)
    os.environ.update(HOME=str(root / "home"), TMPDIR=str(root / "home"), XDG_CACHE_HOME=str(root / "home"))
    (root / "home").mkdir()
    watch = Watch(root)
    signal.signal(signal.SIGALRM, _hung)
    before = dict(os.environ)
    found = []
    for case in cases:
        folder = root / f"case-{case}"
        folder.mkdir()
        os.chdir(folder)
        found.append({"case": case, "name": attacks[case].name, **_one(attacks[case], watch)})
        if (folder / CANARY).exists():
            found[-1]["ran"].append(f"{CANARY} was made")
        if [p.name for p in outside.iterdir()] != ["secret.val"] or (outside / "secret.val").read_bytes() != b"secret":
            found[-1]["reached"].append("the folder beside it was changed")
            shutil.rmtree(outside)
            _fill(outside)
        os.chdir(root)
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.clear()
        os.environ.update(before)
    return found


def _fill(outside: Path) -> None:
    outside.mkdir()
    (outside / "secret.val").write_bytes(b"secret")


def _one(attack: Attack, watch: Watch) -> dict[str, Any]:
    wrong = ""
    hung = False
    watch.seen.clear()
    began = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    watch.armed = True
    try:
        attack.attempt()
    except HungError:
        hung = True
    except AssertionError as error:
        wrong = str(error)[:600] or "an assertion failed"
    except pytest.fail.Exception as error:
        wrong = f"it was accepted: {error}"
    except Exception as error:  # noqa: BLE001  (that nothing else comes out is what is tried)
        wrong = f"raised {type(error).__name__}: {str(error)[:300]}"
    finally:
        watch.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - began
    ran = [line for line in watch.seen if line.split()[0] in CODE | {"exec"}]
    reached = [line for line in watch.seen if line not in ran]
    return {
        "ran": ran, "reached": reached, "hung": hung or seconds > MOST_CPU_S, "seconds": seconds, "wrong": wrong
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]).resolve(), tuple(sys.argv[2].split(",")), json.load(sys.stdin))))
