"""The explorer: a run or a sweep on the whole screen, every key answered at once."""

from __future__ import annotations

from pathlib import Path


def explore(*paths: Path, graphics: str | None = None, engine: str | None = None, images: Path | None = None) -> int:
    """Opens run files, each in a tab, and sweeps, and shows them until the user quits.

    Args:
        paths: Run files, at least one. The first is on screen at once; the others are read behind it.
        graphics: "auto" or a renderer's name; None for what the user's settings say.
        engine: Where to compute what is missing, should the user ask for it; None likewise.
        images: Folder of the images that a sweep's data set needs.

    Returns:
        The exit code: 0, or 128 and the number of the signal that ended it.

    Raises:
        RunFileError: The first file is damaged, hostile or neither run nor sweep, or another is not there.
        UsageError: No such renderer, or settings that make no sense.
    """
    import gc
    import os

    # Nothing that is made before the first screen is garbage: looking for it would take a tenth of the time.
    gc.disable()
    # Read when Textual is imported. Its own limit would let a key wait 16 ms; here the line sets the pace.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    load_numpy()

    from flowtui.tui.config import load_config
    from flowtui.tui.draw.probe import Question, from_environment

    config = load_config()
    asked, source = graphics or config.graphics, "--graphics" if graphics else config.sources["graphics"]
    # What the environment leaves open the terminal is asked; it answers while everything else is loaded.
    with Question(put=from_environment(asked, source, os.environ) is None) as question:
        from flowtui.errors import RunFileError, UsageError
        from flowtui.tui.draw.graphics import choose, make_graphics
        from flowtui.tui.readfile import read_file
        from flowtui.tui.text import visible

        from .app import ExplorerApp
        from .bindings import BINDING_IDS
        from .keptengine import KeptEngine
        from .memory import state_file

        first, *others = paths
        run = read_file(first)
        for path in others:
            if not path.is_file():
                raise RunFileError(f"There is no file {visible(str(path))}.", "Give the paths of run files or sweeps.")
        if unknown := config.keys.keys() - BINDING_IDS:
            raise UsageError(
                f"{config.path}: there is no binding {min(unknown)!r}.", "The help screen (?) names the ids."
            )
        app = ExplorerApp(
            run,
            path=first,
            others=others,
            engine=KeptEngine(engine or config.engine),
            graphics=make_graphics(choose(asked, source, os.environ, question.answers)),
            state_file=state_file(),
            config=config,
            images=images,
        )
    app.run()
    if app.failure is not None:
        raise app.failure
    return app.return_code or 0


def load_numpy() -> None:
    """Imports numpy with one thread for linear algebra: products here are small, and a pool takes 50 ms to start."""
    import os

    before = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = before or "1"
    import numpy  # noqa: F401

    # Not for the engine, which inherits the environment.
    if before is None:
        del os.environ["OPENBLAS_NUM_THREADS"]
