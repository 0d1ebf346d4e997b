"""The user's settings: a TOML file in the XDG folder, and environment variables that override it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flowtui.errors import UsageError

MAX_BYTES = 1 << 14
"""Ten times what every setting and key takes; tables in tables take a time that grows with the square."""
PREFIX = "FLOWTUI_"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting.

    Attributes:
        name: As in the file.
        about: What it does, one line.
        choices: Values allowed; empty for any.
    """

    name: str
    about: str
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that overrides it."""
        return PREFIX + self.name.upper()


SETTINGS: tuple[Setting, ...] = (
    Setting("graphics", "How pictures are drawn.", ("auto", "kitty", "sixel", "halfblock", "ascii")),
    Setting("theme", "Theme of the explorer; ctrl+p lists them."),
    Setting("palette", "Colour map of heat.", ("inferno", "viridis", "cividis")),
    Setting("engine", "Where to compute: local, or ssh://[user@]host[:port][?command=PROGRAM] (docs/remote.md)."),
)
"""Every setting but the keys, which are a table of their own."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force.

    Attributes:
        graphics, theme, palette, engine: As in `SETTINGS`.
        keys: Keys of the explorer by binding id.
        sources: Setting -> where its value comes from: "default", the file's path, or the variable.
        path: The file, whether it is there or not.
    """

    graphics: str = "auto"
    theme: str = "textual-dark"
    palette: str = "inferno"
    engine: str = "local"
    keys: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    path: Path = Path()


def config_file() -> Path:
    """Where the file is looked for."""
    from platformdirs import user_config_path

    return user_config_path("flowtui") / "config.toml"


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Reads the file, where there is one, and the environment.

    Args:
        path: The file; None for its usual place.
        environ: Environment variables.

    Raises:
        UsageError: The file is no TOML, holds an unknown setting or a value that a setting cannot have.
    """
    path = config_file() if path is None else path
    known = {s.name: s for s in SETTINGS}
    values: dict[str, Any] = {}
    sources = dict.fromkeys(known, "default")
    for name, value in _read(path).items():
        if name == "keys":
            values["keys"] = _keys(path, value)
        elif name in known:
            values[name] = _check(known[name], value, str(path))
            sources[name] = str(path)
        else:
            raise UsageError(
                f"{path} has an unknown setting {name[:40]!r}.", f"It may have {', '.join(known)} and [keys]."
            )
    for setting in SETTINGS:
        if text := environ.get(setting.variable, ""):
            values[setting.name] = _check(setting, text, setting.variable)
            sources[setting.name] = setting.variable
    return Config(**values, sources=sources, path=path)


def template() -> str:
    """A file with every setting at its default, commented out."""
    lines = ["# Settings of flowtui. A variable of the environment overrides each: FLOWTUI_GRAPHICS and so on.", ""]
    defaults = {f.name: f.default for f in fields(Config)}
    for setting in SETTINGS:
        allowed = f" One of {', '.join(setting.choices)}." if setting.choices else ""
        lines += [f"# {setting.about}{allowed}", f'# {setting.name} = "{defaults[setting.name]}"', ""]
    lines += [
        "# Keys of the explorer, by the ids that its help screen (?) names.",
        "[keys]",
        '# "layer.next" = "l,right"',
    ]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than a file of settings can be.", "Remove it, or mend it.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"{path} is no TOML: {error}.", "Mend it, or start anew with: flowtui config --init"
        ) from error


def _check(setting: Setting, value: object, where: str) -> str:
    if not isinstance(value, str) or (setting.choices and value not in setting.choices):
        allowed = ", ".join(setting.choices) or "a text"
        raise UsageError(f"{where}: {setting.name} cannot be {str(value)[:60]!r}.", f"Use {allowed}.")
    return value


def _keys(path: Path, value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise UsageError(f"{path}: keys is no table.", 'Write [keys], then lines like: "layer.next" = "l,right"')
    for name, keys in value.items():
        if not isinstance(keys, str):
            raise UsageError(f"{path}: the keys of {name[:40]} are no text.", 'Write: "layer.next" = "l,right"')
    return dict(value)
