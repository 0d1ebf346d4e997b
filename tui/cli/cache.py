"""`flowtui cache`: the layers kept on disk, so that they are computed once."""

from __future__ import annotations

from typing import Annotated

import typer

from flowtui.errors import CheckFailedError

from .options import Json, read_size, show_size
from .output import help_without_command, note, write

cache = typer.Typer(help="Look after the layers kept on disk.", rich_markup_mode=None, add_completion=False)


@cache.callback(invoke_without_command=True)
def before_any_command(context: typer.Context) -> None:
    """Look after the layers kept on disk."""
    help_without_command(context)


@cache.command()
def info(json: Json = False) -> None:
    """Where the cache is and why there, what it holds and how much it may."""
    from flowtui.cache.store import LayerCache
    from flowtui.tui.table import to_json
    from flowtui.tui.text import visible

    with LayerCache.open() as store:
        found = store.info()
    if json:
        names = ("folder", "reason", "entries", "bytes", "limit_bytes", "dropped")
        write(to_json({name: str(v) if name == "folder" else v for name in names for v in (getattr(found, name),)}))
        return
    write(
        f"folder   {visible(str(found.folder))}\nwhy      {visible(found.reason)}\nlayers   {found.entries}\n"
        f"size     {show_size(found.bytes)} of {show_size(found.limit_bytes)}\n"
    )


@cache.command("list")
def entries(json: Json = False) -> None:
    """Every layer kept, the most recently used first."""
    from dataclasses import asdict
    from datetime import datetime

    from flowtui.cache.store import LayerCache
    from flowtui.tui.table import to_json
    from flowtui.tui.text import visible

    with LayerCache.open() as store:
        found = list(store.entries())
    if json:
        write(to_json([asdict(entry) for entry in found]))
        return
    for entry in found:
        used = datetime.fromtimestamp(entry.used_at_s).strftime("%Y-%m-%d %H:%M")
        layer = "" if entry.layer is None else str(entry.layer)
        name = visible(entry.analysis)
        write(f"{used}  {show_size(entry.size_bytes):>10}  {name:<10}  {layer:>3}  {visible(entry.model)}\n")


@cache.command()
def verify(
    repair: Annotated[bool, typer.Option("--repair", help="Drop what is bad.")] = False, json: Json = False
) -> None:
    """Read every layer and compare its checksum."""
    from dataclasses import asdict

    from flowtui.cache.store import LayerCache
    from flowtui.tui.table import to_json
    from flowtui.tui.text import visible

    with LayerCache.open() as store:
        found = store.verify(repair)
    if json:
        write(to_json(asdict(found)))
    else:
        for key, reason in found.bad:
            write(f"bad     {visible(key)}: {visible(reason)}\n")
        for name in found.orphans:
            write(f"orphan  {visible(name)}\n")
        if found.index:
            write(f"index   {visible(found.index)}\n")
        write(f"{found.checked} layers checked, {len(found.bad)} bad, {len(found.orphans)} orphan files\n")
    if not found.ok and not found.repaired:
        raise CheckFailedError("The cache holds bad entries.", "Drop them with: flowtui cache verify --repair")
    if not found.ok:
        note("Repaired: what was dropped is computed again when it is needed.")


@cache.command()
def prune(
    max_size: Annotated[str, typer.Option("--max-size", metavar="S", help="Size to come down to, as 5G.")] = "10G",
) -> None:
    """Remove the least recently used layers until the cache fits a size."""
    from flowtui.cache.store import LayerCache

    limit = read_size(max_size)
    with LayerCache.open() as store:
        write(f"{store.prune(limit)} layers removed, {show_size(store.info().bytes)} left\n")


@cache.command()
def clear() -> None:
    """Remove every layer. Run files stay."""
    from flowtui.cache.store import LayerCache

    with LayerCache.open() as store:
        write(f"{store.clear()} layers removed\n")
