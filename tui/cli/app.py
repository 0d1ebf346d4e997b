"""The commands by name. What a command needs is imported, and its options are read, when it is called for."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from .output import help_without_command

COMMANDS = {
    "demo": "Take the shipped model apart on a shipped picture.",
    "run": "Ask a model about images, and take its answer apart.",
    "precompute": "Compute what run files lack, and only that.",
    "explore": "Explore runs and sweeps on the screen.",
    "show": "Print a run or a sweep: answer, cliff, a table over layers.",
    "export": "Write maps, shares and curves of a run or a sweep.",
    "score": "Score answers made elsewhere by a data set's own rules.",
    "sweep": "Cut the image at every layer for a whole data set.",
    "models": "List the supported families, or check one model.",
    "cache": "Look after the layers kept on disk.",
    "config": "Show the settings in force and where each comes from.",
    "doctor": "Show versions, devices, terminal and cache, and why.",
    "engine": "Answer a client's requests (started by flowtui itself).",
}
"""Each is a function, or a group of its own, in the module of its name."""
HIDDEN = ("engine",)
# Plain help: rich alone would take longer than everything else here.
PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


class Commands(MutableMapping[str, Any]):
    """The commands by name, each made when it is asked for: all of them take longer than most have to do."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in COMMANDS:
                raise KeyError(name)
            self._made[name] = _make(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        raise TypeError("no command is ever taken away")

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def _make(name: str) -> Any:
    found = getattr(import_module(f".{name}", __package__), name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, **PLAIN)
        alone.command(name, short_help=COMMANDS[name], hidden=name in HIDDEN)(found)
        return get_command(alone)
    group = get_command(found)
    group.name = name
    return group


class RunFileOrCommand(TyperGroup):
    """Takes a file where a command's name is expected: `flowtui RUN.pkl` is `flowtui explore RUN.pkl`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Lists them without making any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in COMMANDS.items() if name not in HIDDEN])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command for the first argument."""
        first = args[0]
        if first not in self.commands and (first.endswith(".pkl") or Path(first).is_file()):
            args = ["explore", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=RunFileOrCommand,
    help="See, layer by layer, where a vision-language model takes its answer from.",
    epilog="flowtui RUN.pkl is short for flowtui explore RUN.pkl.",
    **PLAIN,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from flowtui import __version__

        typer.echo(f"flowtui {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def before_any_command(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See, layer by layer, where a vision-language model takes its answer from."""
    help_without_command(context)
    if context.invoked_subcommand != "engine":
        from flowtui.tui.logs import start_logging

        start_logging()
