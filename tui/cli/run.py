"""`flowtui run`: one question about images, put to a model and taken apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flowtui.errors import UsageError

from .options import Analyses, Engine, Json, Layers, Settings, read_analyses, read_layers, read_settings
from .output import note, write

if TYPE_CHECKING:
    from flowtui.engine.spec import RunSpec

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


def run(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="IMAGE... QUESTION", help="Image files, then the question.", show_default=False),
    ] = None,
    item: Annotated[
        str | None,
        typer.Option("--from", metavar="sweep.pkl#ITEM", help="An item of a sweep, in place of image and question."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="With --from: the folder of the data set's images.")
    ] = None,
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
    from dataclasses import replace

    from flowtui.engine.spec import RunSpec
    from flowtui.tui.summary import summarise
    from flowtui.tui.table import to_json, to_text

    from .compute import Work, create, finish, open_cache
    from .files import check_place, free_name, full_name, read_image
    from .progress import Reporter

    names, chosen, parameters = read_analyses(analysis), read_layers(layers), read_settings(settings or ())
    if item is not None:
        if inputs or system is not None or answer is not None:
            raise UsageError(
                "--from takes the place of image, question, system prompt and answer.", "Leave one of them out."
            )
        name, spec = spec_from(item, images, full_name(model) if engine == "local" else model)
        # What the item was asked with stands; where it is computed, and whether its code may run, is up to the user.
        spec = replace(spec, device=device, trust_remote_code=trust_remote_code)
    else:
        if images is not None:
            raise UsageError("--images goes with --from.")
        paths, question = split_inputs(inputs or [])
        name = paths[0]
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
    work = Work(output or free_name(name))
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
    if not inputs:
        raise UsageError("Image and question are missing.", 'Use: flowtui run IMAGE "QUESTION"')
    if len(inputs) < 2:
        what = "question" if Path(inputs[0]).is_file() else "image"
        raise UsageError(f"The {what} is missing.", 'Use: flowtui run IMAGE "QUESTION"')
    *images, question = inputs
    if Path(question).is_file():
        raise UsageError(f"The question is missing: {question} is a file.", "The question comes last, in quotes.")
    return [Path(image) for image in images], question


def spec_from(text: str, images: Path | None, model: str) -> tuple[Path, RunSpec]:
    """An item of a sweep as a run.

    Args:
        text: "sweep.pkl#ITEM", the item's id or its number from 0.
        images: Folder of the data set's images; the demo needs none.
        model: The model that the user named: a file's word alone loads none but the shipped one.

    Returns:
        What the run file is named after, and the spec.

    Raises:
        UsageError: No such item, its image is not there, or another model was swept than the user named.
        RunFileError: The sweep cannot be read.
    """
    from flowtui.cache.runfile import read_plain
    from flowtui.engine.spec import DEMO_MODEL
    from flowtui.engine.sweeps.plan import find_item
    from flowtui.engine.sweeps.result import Sweep
    from flowtui.tui.explorer.itemspec import item_spec
    from flowtui.tui.text import visible

    path, mark, wanted = text.rpartition("#")
    if not mark:
        raise UsageError(f"{text!r} names no item.", "Write it as sweep.pkl#ITEM, with an item's id or number.")
    sweep = Sweep.from_plain(read_plain(path))
    if sweep.model.name not in (DEMO_MODEL, model):
        raise UsageError(
            f"{path} names the model {visible(sweep.model.name)}, which would be loaded.",
            f"If that is as it should be, add: --model {visible(sweep.model.name)}",
        )
    index = find_item(sweep.items, wanted)
    return Path(f"{Path(path).stem}-{index}"), item_spec(sweep, index, images)
