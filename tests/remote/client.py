"""A client that asks the engine at an address for layers, and says which have come.

Run: client.py ADDRESS
"""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[2])

from flowtui.engine.client import EngineClient  # noqa: E402
from flowtui.engine.results import LayerResult  # noqa: E402
from flowtui.engine.spec import CamParameters, RunSpec  # noqa: E402
from tests.factories import png  # noqa: E402


async def main() -> None:
    async with await EngineClient.start(sys.argv[1]) as client:
        await client.load("demo")
        await client.prepare(RunSpec("demo", (png(),), "What?"))
        async with aclosing(client.analyse(CamParameters(), range(4))) as events:
            async for event in events:
                if isinstance(event, LayerResult):
                    print("layer", event.layer, flush=True)


asyncio.run(main())
