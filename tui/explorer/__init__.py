"""The explorer: a run on the whole screen, every key answered at once."""

from __future__ import annotations

from pathlib import Path


def explore(path: Path, *, graphics: str = "auto", engine: str = "local") -> None:
    """Opens a run file and shows it until the user quits.

    Args:
        path: The run file.
        graphics: "auto" or a renderer's name.
        engine: Where to compute what is missing, should the user ask for it.

    Raises:
        RunFileError: The file is damaged, hostile or no run.
        UsageError: No such renderer.
    """
    import os

    from flowtui.cache.runfile import read_plain
    from flowtui.engine.results import Run
    from flowtui.tui.draw.graphics import choose_graphics

    from .app import ExplorerApp
    from .computing import compute_with
    from .memory import keys_file, read_keymap, state_file

    run = Run.from_plain(read_plain(path))
    app = ExplorerApp(
        run,
        path=path,
        compute=compute_with(engine),
        graphics=choose_graphics(graphics, os.environ),
        state_file=state_file(),
        keymap=read_keymap(keys_file()),
    )
    app.run()
