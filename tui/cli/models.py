"""`flowtui models`: which models can be taken apart, and whether one can."""

from __future__ import annotations

import math
import struct
from dataclasses import asdict
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Engine, Json, show_size
from .output import write

if TYPE_CHECKING:
    from flowtui.engine.families import Family
    from flowtui.engine.results import ModelInfo, Prepared

    from .progress import Reporter

NAME_CELLS = 17
MAX_HEADER_BYTES = 64 << 20
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


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


def estimate(info: ModelInfo, tokens: int) -> dict[str, int | None]:
    """Roughly what a model takes, in bytes; `weights_bytes` is None where its files are not on this machine.

    The analyses: LLaVA-CAM takes the most. Training a decoder layer keeps about 17 values per token and channel where
    the attention matrix is not kept (Korthikanti et al. 2022, Eq. 2 without its last term); frozen weights need less.
    """
    width = BYTES.get(info.dtype, 4)
    parameters = count_parameters(Path(info.directory)) if info.directory else None
    return {
        "tokens": tokens,
        "weights_bytes": None if parameters is None else parameters * width,
        "work_bytes": 17 * tokens * info.layers * info.d_model * width,
    }


def count_parameters(folder: Path) -> int | None:
    """Parameters in a folder's safetensors files, from their headers; None where there are none to be read."""
    total = 0
    for path in folder.glob("*.safetensors"):
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = loads(file.read(min(length, MAX_HEADER_BYTES)))
            total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            return None
    return total or None


async def _check(
    model: str,
    reporter: Reporter,
    engine: str,
    device: str,
    dtype: str,
    revision: str | None,
    trust_remote_code: bool,
) -> dict[str, Any]:
    """Loads a model, which tests it, and lets it look at a plain picture."""
    from flowtui.engine.client import EngineClient
    from flowtui.engine.spec import RunSpec

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
        spec = RunSpec(name, (_plain_picture(),), "What is in the image?", max_new_tokens=1)
        prepared = await client.prepare(spec, reporter.progress)
        seconds = {stage: client.seconds.get(stage) for stage in ("load", "prepare")}
    return describe(prepared, seconds)


def describe(prepared: Prepared, seconds: dict[str, float | None]) -> dict[str, Any]:
    """What `--check` tells, as plain data."""
    tokens = prepared.tokens
    return {
        **asdict(prepared.model),
        "image_tokens": len(tokens.image_positions),
        "grids": [list((tokens.grid_of(span) or (0, 0))[:2]) for span in tokens.spans],
        "through": "Q-Former" if any(tokens.projections) else None,
        "seconds": seconds,
        "memory": estimate(prepared.model, len(tokens.ids)),
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

    memory, seconds = report["memory"], report["seconds"]
    weights = "an unknown size" if memory["weights_bytes"] is None else show_size(memory["weights_bytes"])
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
        ("memory", f"about {weights} for the weights and, for {memory['tokens']} tokens, up to about "
         f"{show_size(memory['work_bytes'])} for the analyses (estimated)"),
    )  # fmt: skip
    return "".join(f"{name:<10} {visible(text)}\n" for name, text in lines)


def _paragraph(row: dict[str, str]) -> str:
    """One family: its name beside what there is to say, in 80 cells."""
    from textwrap import wrap

    said = f"Refused: {row['refused']}." if row["refused"] else f"{row['grid']} {row['note']}"
    lines = [*wrap(row["title"], 80 - NAME_CELLS), *wrap(said, 80 - NAME_CELLS)]
    names = (row["family"] if i == 0 else "" for i in range(len(lines)))
    return "".join(f"{name:<{NAME_CELLS}}{line}\n" for name, line in zip(names, lines, strict=True))
