"""The explorer: a run on the whole screen, every key answered at once."""

from __future__ import annotations

from pathlib import Path


def explore(path: Path, *, graphics: str | None = None, engine: str | None = None) -> int:
    """Opens a run file and shows it until the user quits.

    Args:
        path: The run file.
        graphics: "auto" or a renderer's name; None for what the user's settings say.
        engine: Where to compute what is missing, should the user ask for it; None likewise.

    Returns:
        The exit code: 0, or 128 and the number of the signal that ended it.

    Raises:
        RunFileError: The file is damaged, hostile or no run.
        UsageError: No such renderer, or settings that make no sense.
    """
    import os

    # Read when Textual is imported. Its own limit would let a key wait 16 ms; here the line sets the pace.
    os.environ.setdefault("TEXTUAL_FPS", "240")

    from flowtui.cache.runfile import read_plain
    from flowtui.engine.results import Run
    from flowtui.errors import UsageError
    from flowtui.tui.config import load_config
    from flowtui.tui.draw.graphics import choose_graphics

    from .app import ExplorerApp
    from .bindings import BINDING_IDS
    from .keptengine import KeptEngine
    from .memory import state_file

    run = Run.from_plain(read_plain(path))
    config = load_config()
    unknown = config.keys.keys() - BINDING_IDS
    if unknown:
        raise UsageError(f"{config.path}: there is no binding {min(unknown)!r}.", "The help screen (?) names the ids.")
    app = ExplorerApp(
        run,
        path=path,
        engine=KeptEngine(engine or config.engine),
        graphics=choose_graphics(graphics or config.graphics, os.environ),
        state_file=state_file(),
        config=config,
    )
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0
