"""The commands by name. Their modules import what is heavy only when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import cache, config, demo, doctor, engine, explore, export, models, precompute, run, score, show, sweep
from .output import help_without_command


class RunFileOrCommand(TyperGroup):
    """Takes a file where a command's name is expected: `flowtui RUN.pkl` is `flowtui explore RUN.pkl`."""

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
    # Plain help: rich alone would take longer than everything else here.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo.demo)
app.command()(run.run)
app.command()(precompute.precompute)
app.command()(explore.explore)
app.command()(show.show)
app.command()(export.export)
app.command()(score.score)
app.command()(sweep.sweep)
app.command()(models.models)
app.add_typer(cache.cache, name="cache")
app.command()(config.config)
app.command()(doctor.doctor)
app.command(hidden=True)(engine.engine)


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
