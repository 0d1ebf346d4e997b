"""`flowtui run`: one question about images, put to a model and taken apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from flowtui.errors import UsageError

from .options import Analyses, Engine, Json, Layers, Settings, read_analyses, read_layers, read_settings
from .output import note, write

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def run(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE... QUESTION", help="Image files, then the question.", show_default=False),
    ],
    model: Annotated[str, typer.Option("--model", metavar="demo|ID|DIR", help="The model.")] = "demo",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="run.pkl", help="The run file; replaced where it exists.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", metavar="T", help="The system prompt.")] = None,
    answer: Annotated[
        str | None, typer.Option("--answer", metavar="T", help="Analyse this answer in place of the model's own.")
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", min=1, help="Longest answer, in tokens.")
    ] = 64,
    analysis: Analyses = "all",
    layers: Layers = None,
    settings: Settings = None,
    engine: Engine = "local",
    device: Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="What the model computes in.")] = "auto",
    grouping: Annotated[
        Literal["paper", "roles"], typer.Option("--grouping", help="How tokens are grouped (docs/method.md).")
    ] = "paper",
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="R", help="Branch, tag or commit of a Hugging Face id.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let Python code that comes with the model run.")
    ] = False,
    json: Json = False,
) -> None:
    """Ask a model about images, and take its answer apart layer by layer."""
    import asyncio

    from flowtui.engine.spec import RunSpec
    from flowtui.tui.summary import summarise
    from flowtui.tui.table import to_json, to_text

    from .compute import Work, create, finish, open_cache
    from .files import check_place, free_name, full_name, read_image
    from .progress import Reporter

    paths, question = split_inputs(inputs)
    names, chosen, parameters = read_analyses(analysis), read_layers(layers), read_settings(settings or ())
    spec = RunSpec(
        model=full_name(model) if engine == "local" else model,
        images=tuple(read_image(path) for path in paths),
        question=question,
        system=system,
        answer=answer,
        max_new_tokens=max_new_tokens,
        revision=revision,
        grouping=grouping,
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )
    work = Work(output or free_name(paths[0]))
    check_place(work.path)
    cache = open_cache()
    with Reporter() as reporter:
        job = create(work, spec, names, parameters, chosen, reporter, engine=engine, cache=cache)
        made = finish(work, job, asyncio.run)
    write(to_json(summarise(made)) if json else to_text(summarise(made)))
    note(f"Wrote {work.path}. Look at it with: flowtui {work.path}" if sys.stderr.isatty() else f"Wrote {work.path}")


def split_inputs(inputs: list[str]) -> tuple[list[Path], str]:
    """Images and the question, which comes last.

    Raises:
        UsageError: There are not both, or the last one is an image too.
    """
    if len(inputs) < 2:
        what = "question" if Path(inputs[0]).is_file() else "image"
        raise UsageError(f"The {what} is missing.", 'Use: flowtui run IMAGE "QUESTION"')
    *images, question = inputs
    if Path(question).is_file():
        raise UsageError(f"The question is missing: {question} is a file.", "The question comes last, in quotes.")
    return [Path(image) for image in images], question
