"""Draws the README's picture: `python docs/picture.py`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.tui.explorer.app import ExplorerApp

HERE = Path(__file__).parent
RUN = HERE.parent / "examples" / "shape.pkl"
KEYS = "chm"


async def draw(target: Path) -> None:
    """Opens the shipped run at 120x40 at the layer before the cliff, attention map on, and saves the screen as SVG."""
    app = ExplorerApp(Run.from_plain(read_plain(RUN)), path=RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press(*KEYS)
        await pilot.pause()
        target.write_text(app.export_screenshot(title="flowtui explore shape.pkl"), "utf-8")


if __name__ == "__main__":
    asyncio.run(draw(HERE / "explorer.svg"))
