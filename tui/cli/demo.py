"""`flowtui demo`: every analysis on the shipped model and a shipped picture."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from .output import write

KIND = "colour"
"""The kind of question that the demo asks."""


def demo(
    no_tui: Annotated[bool, typer.Option("--no-tui", help="Print, and do not open the explorer.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Measure the shipped model on fresh questions instead.")
    ] = False,
) -> None:
    """Take the shipped model apart on a shipped picture, then explore."""
    if check:
        raise typer.Exit(subprocess.call([sys.executable, "-m", "flowtui.engine.demo.check"]))

    import asyncio

    from flowtui.engine.demo.examples import first_of
    from flowtui.engine.spec import ANALYSES, DEMO_MODEL, RunSpec
    from flowtui.tui.summary import summarise
    from flowtui.tui.table import to_text
    from flowtui.tui.text import visible

    from .compute import Work, create, finish, open_cache
    from .files import demo_file
    from .progress import Reporter
    from .screen import on_terminal

    example = first_of(KIND)
    spec = RunSpec(model=DEMO_MODEL, images=(example.image.read_bytes(),), question=example.question, device="cpu")
    work = Work(demo_file())
    with Reporter() as reporter:
        job = create(work, spec, ANALYSES, {}, None, reporter, engine="local", cache=open_cache())
        made = finish(work, job, asyncio.run)
    head = (("picture", str(example.image)), ("question", example.question), ("run file", str(work.path)))
    write("".join(f"{name:<8} {visible(text)}\n" for name, text in head) + to_text(summarise(made)))
    if not no_tui and on_terminal():
        from flowtui.tui.explorer import explore

        if code := explore(work.path):
            raise typer.Exit(code)
