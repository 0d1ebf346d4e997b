"""What opening a finished run loads."""

import subprocess
import sys
from pathlib import Path

from flowtui.cache.runfile import write_plain
from tests.factories import random_run, random_sweep

SCRIPT = """
import asyncio, sys
from pathlib import Path
from flowtui.cache.runfile import read_plain
from flowtui.engine.results import Run
from flowtui.tui.explorer import explore
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.keptengine import KeptEngine

async def main():
    path = Path(sys.argv[1])
    app = ExplorerApp(Run.from_plain(read_plain(path)), path=path, engine=KeptEngine("local"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l", "c", "m", "v", "y")
        await pilot.pause()

asyncio.run(main())
loaded = {"torch", "transformers", "diskcache", "typer", "scipy", "matplotlib", "flowtui.engine.workflow"}
# What only a sweep, a question or an export needs comes with it: the first screen does not wait for that.
loaded |= {"flowtui.engine.sweeps.result", "flowtui.tui.explorer.sweepscreen", "flowtui.tui.explorer.askscreen"}
loaded |= {"flowtui.tui.explorer.dialogs", "flowtui.tui.charts", "urllib.request", "http.client", "email"}
loaded &= set(sys.modules)
assert not loaded, loaded
"""

SWEEP_SCRIPT = """
import asyncio, sys
from pathlib import Path
from flowtui.tui.readfile import read_file
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.keptengine import KeptEngine
from flowtui.tui.explorer.sweepfacts import SweepFacts

# The search for the cliff, which comes after the first screen.
SweepFacts.find = lambda *_: None

async def main():
    path = Path(sys.argv[1])
    app = ExplorerApp(read_file(path), path=path, engine=KeptEngine("local"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l", "j", "v", "t", "y")
        await pilot.pause()

asyncio.run(main())
loaded = {"torch", "transformers", "diskcache", "typer", "scipy", "matplotlib", "flowtui.engine.workflow"}
loaded &= set(sys.modules)
assert not loaded, loaded
"""


def test_no_model_library_and_no_cache_is_loaded(tmp_path: Path) -> None:
    write_plain(tmp_path / "run.pkl", random_run().to_plain())
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "run.pkl")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_sweep_loads_statistics_only_behind_the_first_screen(tmp_path: Path) -> None:
    write_plain(tmp_path / "sweep.pkl", random_sweep().to_plain())
    command = [sys.executable, "-c", SWEEP_SCRIPT, str(tmp_path / "sweep.pkl")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
