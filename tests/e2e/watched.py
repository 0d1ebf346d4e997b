"""An explorer that measures how long its event loop is kept, with an engine that hands out layers quickly.

Run: watched.py RUN.pkl OUT.json
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from flowtui.cache.runfile import read_plain  # noqa: E402
from flowtui.engine.results import Run  # noqa: E402
from flowtui.engine.workflow import Progress, Request, Update  # noqa: E402
from flowtui.tui.draw.graphics import HalfBlock  # noqa: E402
from flowtui.tui.explorer import app  # noqa: E402
from tests.factories import random_run  # noqa: E402

LAYER_S = 0.005


class QuickEngine:
    """A layer every few milliseconds."""

    local = True

    async def compute(self, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Update, None]:
        full = random_run(layers=run.model.layers)
        for request in requests:
            analysis = full.analyses[request.analysis]
            for layer in sorted(analysis.layers):
                await asyncio.sleep(LAYER_S)
                run = run.with_layer(analysis.parameters, analysis.layers[layer])
                yield Update(run, Progress("analyse", request.analysis, layer, 0.5, 1.0), analysis.layers[layer])

    async def close(self) -> None:
        pass


class Watched(app.ExplorerApp):
    """Attributes: longest_s: the loop was kept for; arrived, drawn: layers and frames since the first screen."""

    CSS_PATH = Path(app.__file__).with_name("explorer.tcss")

    longest_s = 0.0
    arrived = 0
    drawn = 0

    def draw(self) -> None:
        self.drawn += 1
        super().draw()

    def on_arrived(self, event: object) -> None:
        self.arrived += 1

    async def watch(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(LAYER_S)
            self.longest_s = max(self.longest_s, time.monotonic() - before - LAYER_S)

    def on_ready(self) -> None:
        self.drawn = 0
        self.run_worker(self.watch())


def main() -> None:
    writers: set[str] = set()
    write = os.write

    def seen(descriptor: int, data: bytes) -> int:
        if os.isatty(descriptor):
            writers.add(threading.current_thread().name)
        return write(descriptor, data)

    os.write = seen  # type: ignore[assignment]
    path, out = map(Path, sys.argv[1:])
    explorer = Watched(Run.from_plain(read_plain(path)), graphics=HalfBlock(), engine=QuickEngine())  # type: ignore[arg-type]
    explorer.run()
    found = {
        "longest_s": explorer.longest_s,
        "arrived": explorer.arrived,
        "drawn": explorer.drawn,
        "writers": sorted(writers),
    }
    out.write_text(json.dumps(found))


main()
