"""`flowtui precompute`: completes run files, from the cache where it can and by an engine where it must."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Analyses, Engine, Layers, Settings, read_analyses, read_layers, read_settings
from .output import write


def precompute(
    paths: Annotated[list[Path], typer.Argument(metavar="RUN.pkl...", help="Run files.", show_default=False)],
    analysis: Analyses = "all",
    layers: Layers = None,
    settings: Settings = None,
    engine: Engine = "local",
    force: Annotated[bool, typer.Option("--force", help="Compute again what is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Load the models that files name without asking.")] = False,
) -> None:
    """Compute what run files lack, and only that.

    Layers come from the cache where it has them; new ones go into the cache and into the files. A model is named by the
    file and not by you: before one other than the shipped model is loaded, you are asked.
    """
    from flowtui.tui.text import visible

    from .compute import SharedEngine, Work, choose, fill, finish, open_cache
    from .consent import allow_models
    from .files import read_run
    from .progress import Reporter

    names, chosen, parameters = read_analyses(analysis), read_layers(layers), read_settings(settings or ())
    # All files are looked at first: a bad one should not be found after hours of work on the others.
    todo = []
    for path in paths:
        found = read_run(path)
        todo.append((Work(path, found), choose(found, names, parameters, chosen, force=force)))
    jobs = sum(bool(requests) for _, requests in todo)
    allow_models([(work.path, work.run) for work, requests in todo if requests and work.run is not None], yes=yes)
    cache = open_cache() if jobs else None
    with SharedEngine(engine, jobs) as shared:
        for work, requests in todo:
            if requests:
                with Reporter() as reporter:
                    job = fill(work, requests, reporter, engine=engine, cache=cache, force=force, client=shared.client)
                    finish(work, job, shared.run)
            done = (
                work.describe() or f"nothing to compute: {', '.join(names)} {'is' if len(names) == 1 else 'are'} there"
            )
            write(visible(f"{work.path}: {done}") + "\n")
