"""What is asked of flowtui: the commands that a user would type, one after the other or side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shlex import join
from time import monotonic
from typing import Any

ROOT = Path(__file__).parents[2]
SCENES = "examples"
SEED = 1
ANALYSES = "attention,cam,saliency,truncation,matrix"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question about one picture.

    Attributes:
        name: Of its run.
        like: The data set of the paper that asks so.
        scene: The picture, in examples/.
        question: As a user types it.
        truth: The right answer.
        box: Left, top, right, bottom of the thing that the answer is about, in pixels; None: it is about none.
    """

    name: str
    like: str
    scene: str
    question: str
    truth: str
    box: tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Swept:
    """One data set in kind.

    Attributes:
        name: Of its sweep.
        like: The data set of the paper.
        kinds: Of the demo world's questions.
        limit: How many.
        more: Other options.
    """

    name: str
    like: str
    kinds: tuple[str, ...]
    limit: int
    more: tuple[str, ...] = ()


ASKED = (
    Asked("scienceqa-run", "ScienceQA", "scene-6.png",
          "What colour is the ring? (A) cyan (B) green Answer with the letter.", "B", (33, 2, 61, 30)),
    Asked("pope-run", "POPE", "scene-3.png", "Is there a red circle in the image?", "yes", (36, 38, 58, 60)),
    Asked("textvqa-run", "TextVQA", "scene-3.png", "Which character is written in the image?", "4", (44, 69, 60, 91)),
    Asked("blind-run", "ScienceQA", "scene-1.png",
          "Which letter is blue? (A) red (B) blue (C) green Answer with the letter.", "B", None),
)  # fmt: skip
"""The last one asks for what its own options say: nothing in the picture is needed."""

SWEPT = (
    Swept("pope", "POPE", ("presence",), 400),
    Swept("textvqa", "TextVQA", ("colour", "shape", "position", "letter"), 400),
    Swept("scienceqa", "ScienceQA", ("choice",), 400),
    Swept("chair", "CHAIR", ("caption",), 330),
    Swept("strategies", "all four", (), 160,
          ("--strategy", "all,top-16,random-16", "--with", "attention,cam", "--with-limit", "60")),
)  # fmt: skip
"""Below 300 items no loss of one point could be ruled out, however few change."""


def run_command(asked: Asked) -> list[str]:
    """Asks the question."""
    return ["run", f"{SCENES}/{asked.scene}", asked.question, "--analysis", ANALYSES, "-o", f"{asked.name}.pkl"]


def sweep_command(swept: Swept) -> list[str]:
    """Sweeps the data set."""
    name = "+".join(("demo", *swept.kinds))
    numbers = ("--limit", str(swept.limit), "--seed", str(SEED))
    return ["sweep", name, *numbers, *swept.more, "-o", f"{swept.name}.pkl"]


def show_commands() -> list[list[str]]:
    """Print the contents of runs and sweeps for this script, runs first."""
    runs = [["show", f"{a.name}.pkl", *(() if a.box is None else ("--box", ",".join(map(str, a.box)))), "--json"]
            for a in ASKED]  # fmt: skip
    return runs + [["show", f"{swept.name}.pkl", "--json"] for swept in SWEPT]


def export_commands() -> list[list[str]]:
    """Draw the runs' figures, and write the sweeps' items with their answers at every K."""
    figures = ("--figure", "1,2a,2b,3,5", "--format", "png")
    runs = [["export", f"{asked.name}.pkl", *figures, "-o", asked.name] for asked in ASKED]
    return runs + [["export", f"{swept.name}.pkl", "--format", "csv", "-o", swept.name] for swept in SWEPT]


def commands() -> list[str]:
    """All of them, as a user types them."""
    computed = [*map(run_command, ASKED), *map(sweep_command, SWEPT)]
    return [join(("flowtui", *each)) for each in (*computed, *show_commands(), *export_commands())]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where commands run. A sweep that is there already, in full or in part, is not computed again.

    Attributes:
        folder: Of the runs and sweeps.
        lanes: How many commands side by side; each computes with one thread.
    """

    folder: Path
    lanes: int

    def prepare(self) -> None:
        """Makes the folder, with the pictures in it under the name that a user's checkout has for them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / SCENES).exists():
            (self.folder / SCENES).symlink_to(ROOT / SCENES)

    def run(self, command: Sequence[str]) -> str:
        """Runs flowtui and returns what it prints; a failure ends everything, with its own words on stderr."""
        start = monotonic()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "flowtui", *command],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        with _PRINT:
            print(f"{monotonic() - start:6.0f} s  {join(('flowtui', *command))}", file=sys.stderr, flush=True)
        if done.returncode:
            raise SystemExit(done.returncode)
        return done.stdout

    def compute(self) -> None:
        """Runs and sweeps, the longest first."""
        with ThreadPoolExecutor(self.lanes) as pool:
            list(pool.map(self.run, [*map(sweep_command, reversed(SWEPT)), *map(run_command, ASKED)]))

    def read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Contents of the runs and of the sweeps by name; figures and items are then in folders of their names."""
        with ThreadPoolExecutor(self.lanes) as pool:
            texts = list(pool.map(self.run, [*show_commands(), *export_commands()]))
        runs, sweeps = [each.name for each in ASKED], [each.name for each in SWEPT]
        contents = [json.loads(text) for text in texts[: len(runs) + len(sweeps)]]
        return dict(zip(runs, contents, strict=False)), dict(zip(sweeps, contents[len(runs) :], strict=True))


_PRINT = threading.Lock()
