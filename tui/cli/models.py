"""`flowtui models`: which models can be taken apart, and whether one can."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Engine, Json, show_size
from .output import write

if TYPE_CHECKING:
    from flowtui.engine.families import Family
    from flowtui.engine.fit import Fit, Need
    from flowtui.engine.results import Prepared

    from .progress import Reporter

NAME_CELLS = 17
ANSWER_TOKENS = 64
"""Length of the answer that the estimates are for: as long as `flowtui run` lets one become."""


def models(
    check: Annotated[
        str | None, typer.Option("--check", metavar="ID|DIR", help="Load this model and test what is read off it.")
    ] = None,
    engine: Engine = "local",
    device: Annotated[str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"], typer.Option("--dtype", help="What the model computes in.")
    ] = "auto",
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="R", help="Branch, tag or commit of a Hugging Face id.")
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let Python code that comes with the model run.")
    ] = False,
    json: Json = False,
) -> None:
    """List the supported families, or check one model."""
    from flowtui.tui.table import to_json

    if check is None:
        rows = list_families()
        write(to_json(rows) if json else "".join(_paragraph(row) for row in rows))
        return

    import asyncio

    from .progress import Reporter

    with Reporter() as reporter:
        report = asyncio.run(_check(check, reporter, engine, device, dtype, revision, trust_remote_code))
    write(to_json(report) if json else show_report(report))


def list_families() -> list[dict[str, str]]:
    """The known families and what is done with all others: family, title, status, grid, note, refused."""
    from flowtui.engine.families import FAMILIES, OTHERS

    def row(family: Family) -> dict[str, str]:
        status = "refused" if family.refused else ("generic" if family is OTHERS else "supported")
        return {
            "family": family.model_type,
            "title": family.title,
            "status": status,
            "grid": family.grid,
            "note": family.note,
            "refused": family.refused,
        }

    return [row(family) for family in (*FAMILIES.values(), OTHERS)]


async def _check(
    model: str,
    reporter: Reporter,
    engine: str,
    device: str,
    dtype: str,
    revision: str | None,
    trust_remote_code: bool,
) -> dict[str, Any]:
    """Loads a model, which tests it, lets it look at a plain picture, and asks what each analysis of it would take."""
    from flowtui.engine.client import EngineClient
    from flowtui.engine.spec import ANALYSES, PARAMETERS, RunSpec

    from .files import full_name

    name = full_name(model) if engine == "local" else model
    async with await EngineClient.start(engine) as client:
        await client.load(
            name,
            revision=revision,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            on_progress=reporter.progress,
        )
        spec = RunSpec(
            name,
            (_plain_picture(),),
            "What is in the image?",
            max_new_tokens=1,
            revision=revision,
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
        )
        prepared = await client.prepare(spec, reporter.progress)
        seconds = {stage: client.seconds.get(stage) for stage in ("load", "prepare")}
        longer = replace(spec, max_new_tokens=ANSWER_TOKENS)
        fit = await client.fit(longer, [(PARAMETERS[name](), None) for name in ANALYSES], on_progress=reporter.progress)
    return describe(prepared, seconds, fit)


def describe(prepared: Prepared, seconds: dict[str, float | None], fit: Fit | None = None) -> dict[str, Any]:
    """What `--check` tells, as plain data; `memory` is None where nobody knows what it takes."""
    tokens = prepared.tokens
    return {
        **asdict(prepared.model),
        "image_tokens": len(tokens.image_positions),
        "grids": [list((tokens.grid_of(span) or (0, 0))[:2]) for span in tokens.spans],
        "through": "Q-Former" if any(tokens.projections) else None,
        "seconds": seconds,
        "memory": None if fit is None else _memory(fit),
    }


def _memory(fit: Fit) -> dict[str, Any]:
    """Bytes and seconds of weights, of one pass and of each analysis; seconds are None where no pass has been timed."""

    def row(need: Need) -> dict[str, Any]:
        seconds = None if fit.pass_s is None else need.passes * fit.pass_s
        return {**asdict(need), "bytes": need.bytes, "seconds": seconds}

    return {
        "tokens": fit.tokens,
        "answer_tokens": fit.answer_tokens,
        "weights_bytes": fit.weights_bytes,
        "free_bytes": fit.free_bytes,
        "pass_bytes": fit.pass_bytes,
        "pass_seconds": fit.pass_s,
        "analyses": [row(need) for need in fit.needs],
    }


def _plain_picture() -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (336, 336), (128, 128, 128)).save(out, "PNG")
    return out.getvalue()


def show_report(report: dict[str, Any]) -> str:
    """The same as a person reads it."""
    from flowtui.tui.text import visible

    seconds = report["seconds"]
    grids = ", ".join(f"{rows} x {cols}" if rows else "no grid" for rows, cols in report["grids"])
    grids += f" through the {report['through']}" if report["through"] else ""
    lines = (
        ("model", f"{report['name']} ({report['family']})"),
        ("directory", report["directory"] or "-"),
        ("decoder", f"{report['layers']} layers, {report['heads']} heads ({report['kv_heads']} for keys), "
         f"{report['d_model']} wide"),
        ("image", f"{report['image_tokens']} tokens for one of 336 x 336 pixels, on a grid of {grids}"),
        ("self-test", f"passed: largest difference to eager attention {report['self_test_error']:.1e}"),
        ("loaded as", f"{report['dtype']} on {report['device']}"),
        ("time", f"{seconds['load']:.1f} s to load, {seconds['prepare']:.1f} s for a question with one answer token"),
    )  # fmt: skip
    memory = "" if report["memory"] is None else _show_memory(report["memory"])
    return "".join(f"{name:<10} {visible(text)}\n" for name, text in lines) + memory


def _show_memory(memory: dict[str, Any]) -> str:
    """Estimates: a line for the model, then one for each analysis."""
    from flowtui.engine.budget import CHUNK_BYTES

    from .progress import show_seconds

    def time(seconds: float | None) -> str:
        if seconds is None:
            return "-"
        return f"{1000 * seconds:.0f} ms" if seconds < 1 else show_seconds(seconds)

    def way(row: dict[str, Any]) -> str:
        if not row["fits"]:
            return "does not fit"
        again = "layers computed twice" if row["recompute"] else ""
        chunks = f"chunks of {show_size(row['chunk_bytes'])}" if row["chunk_bytes"] < CHUNK_BYTES else ""
        return ", ".join(filter(None, (again, chunks)))

    weights, free, one = (show_size(memory[name]) for name in ("weights_bytes", "free_bytes", "pass_bytes"))
    head = (
        f"{'memory':<10} {weights} of weights, {free} free beside them\n"
        f"{'one pass':<10} {one} and {time(memory['pass_seconds'])}, over {memory['tokens']} tokens, "
        f"{memory['answer_tokens']} of them the answer\n"
        f"\n{'estimated':<14}{'activations':>12}{'buffers':>12}{'time':>10}\n"
    )
    rows = (
        f"{row['analysis']:<14}{show_size(row['activations_bytes']):>12}{show_size(row['buffers_bytes']):>12}"
        f"{time(row['seconds']):>10}  {way(row)}".rstrip()
        + "\n"
        for row in memory["analyses"]
    )
    return head + "".join(rows)


def _paragraph(row: dict[str, str]) -> str:
    """One family: its name beside what there is to say, in 80 cells."""
    from textwrap import wrap

    said = f"Refused: {row['refused']}." if row["refused"] else f"{row['grid']} {row['note']}"
    lines = [*wrap(row["title"], 80 - NAME_CELLS), *wrap(said, 80 - NAME_CELLS)]
    names = (row["family"] if i == 0 else "" for i in range(len(lines)))
    return "".join(f"{name:<{NAME_CELLS}}{line}\n" for name, line in zip(names, lines, strict=True))
