"""Files of settings that somebody else has written."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from flowtui.tui.config import load_config
from tests.trust.attacks.attack import Attack, command

REFUSED: dict[str, bytes] = {
    "no TOML": b"hello",
    "a pickle": b"cos\nsystem\n(S'touch flowtui-canary'\ntR.",
    "no UTF-8": b"\xff\xfe",
    "two megabytes": b"#" * (2 << 20),
    "as large as allowed": b"a." * 8_000 + b"b = 1",
    "lists in lists": b"a = " + b"[" * 10_000,
    "tables in tables": b"a." * 50_000 + b"b = 1",
    "an unknown setting": b"code = 1",
    "an unknown setting that steers": b'"\\u001b]52;c;AA\\u0007" = 1',
    "an unknown setting of many characters": b'"' + b"x" * 10_000 + b'" = 1',
    "graphics that are a number": b"graphics = 1",
    "graphics that are none": b'graphics = "\\u001b[2J"',
    "graphics of many characters": b'graphics = "' + b"x" * 10_000 + b'"',
    "a theme that is a list": b"theme = []",
    "a theme that is a time": b"theme = 1979-05-27",
    "an engine that is a table": b"[engine]\nx = 1",
    "a palette without end": b"palette = inf",
    "keys that are a text": b'keys = "x"',
    "keys that are numbers": b"[keys]\nx = 1",
    "keys that are a table": b"[keys.x]\ny = 1",
    "a setting twice": b'theme = "a"\ntheme = "b"',
}
ODD: dict[str, bytes] = {
    "a theme that is a path": b'theme = "../../evil"',
    "a theme that steers": b'theme = "\\u001b]0;x\\u0007\\u202e"',
    "an engine with a command": b'engine = "ssh://-oProxyCommand=touch flowtui-canary"',
    "keys that steer": b'[keys]\n"layer.next" = "\\u001b]52;c;AA\\u0007"',
    "keys of no binding": b'[keys]\n"\\u001b[2J" = "x"',
    "keys of many characters": b'[keys]\n"layer.next" = "' + b"l," * 5_000 + b'"',
}
"""Taken as they are and shown; what cannot be meant is found when it is used."""


def _place(data: bytes) -> None:
    os.environ["XDG_CONFIG_HOME"] = str(Path.cwd())
    Path("flowtui").mkdir()
    Path("flowtui/config.toml").write_bytes(data)


def _refused(data: bytes) -> None:
    _place(data)
    command("config", codes=(2,))


def _odd(data: bytes) -> None:
    _place(data)
    command("config", codes=(0,))
    command("config", "--json", codes=(0,))
    load_config()


def _engine(address: str) -> None:
    from flowtui.cache.runfile import write_plain
    from tests.factories import random_run

    write_plain("run.pkl", random_run(layers=1, heads=1, grid=(1, 1), analyses=()).to_plain())
    command("precompute", "run.pkl", "--engine", address, codes=(2,))


ADDRESSES = (
    "ssh://-oProxyCommand=touch flowtui-canary",
    "ssh://-o@host",
    "ssh://host/$(touch flowtui-canary)",
    "ssh://host;touch flowtui-canary",
    "ssh://user@-host",
    "ssh://host:0",
    "ssh://host:99999999999",
    "ssh://host\n-oProxyCommand=x",
    "file:///etc/passwd",
    "\x1b]52;c;AA\x07",
)


def attacks() -> list[Attack]:
    """All of them."""
    found = [Attack("settings", name, partial(_refused, data)) for name, data in REFUSED.items()]
    found += [Attack("settings", f"taken as it is: {name}", partial(_odd, data)) for name, data in ODD.items()]
    return found + [Attack("settings", f"engine {address!r}", partial(_engine, address)) for address in ADDRESSES]
