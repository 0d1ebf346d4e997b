"""`flowtui config`: which settings are in force, and where they come from."""

from __future__ import annotations

from typing import Annotated

import typer

from flowtui.errors import UsageError

from .options import Json
from .output import note, write


def config(
    init: Annotated[bool, typer.Option("--init", help="Write a file with every setting, commented out.")] = False,
    json: Json = False,
) -> None:
    """Show the settings in force and where each comes from."""
    from flowtui.tui.config import SETTINGS, config_file, load_config, template
    from flowtui.tui.table import to_json
    from flowtui.tui.text import visible

    if init:
        path = config_file()
        if path.exists():
            raise UsageError(f"{path} is there already.", "Edit it, or move it away first.")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(template(), encoding="utf-8")
        note(f"Wrote {path}")
        return
    found = load_config()
    rows = [
        {
            "name": s.name,
            "value": getattr(found, s.name),
            "from": found.sources[s.name],
            "variable": s.variable,
            "about": s.about,
            "choices": list(s.choices),
        }
        for s in SETTINGS
    ]
    if json:
        write(to_json({"file": str(found.path), "exists": found.path.exists(), "settings": rows, "keys": found.keys}))
        return
    there = "" if found.path.exists() else " (not there; flowtui config --init writes one)"
    lines = [f"file       {found.path}{there}"]
    lines += [f"{r['name']:<10} {r['value']:<16} from {r['from']}" for r in rows]
    lines += [f"key        {name} = {keys}" for name, keys in sorted(found.keys.items())]
    write("".join(f"{visible(text)}\n" for text in lines))
